"""One torch thread: tests are small, and more threads wait for each other where other work runs. No deadlines: the
first example of a test may have to load a library."""

import sys

import hypothesis
import torch

collect_ignore = ["test_gromo.py"] if sys.version_info < (3, 11) else []  # gromo needs 3.11
torch.set_num_threads(1)
hypothesis.settings.register_profile("plastic_env", deadline=None)
hypothesis.settings.load_profile("plastic_env")
