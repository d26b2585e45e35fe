"""One torch thread: tests are small, and more threads wait for each other where other work runs. No deadlines: the
first example of a test may have to load a library."""

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("plastic_env", deadline=None)
hypothesis.settings.load_profile("plastic_env")
