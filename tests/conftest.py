"""One torch thread: tests are small, and more threads wait for each other where other work runs."""

import sys

import torch

collect_ignore = ["test_gromo.py"] if sys.version_info < (3, 11) else []  # gromo needs 3.11
torch.set_num_threads(1)
