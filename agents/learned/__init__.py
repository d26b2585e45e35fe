"""Policies that are learned: how to train them (`ppo`, `cma`), and the agent that runs what was learned (`policy`)."""
