"""One torch thread: tests are small, and more threads wait for each other where other work runs."""

import torch

torch.set_num_threads(1)
