"""Policies that are learned: how to train them (`ppo`, `cma`), the fixed one that they have to beat (`fixed`), and the
agent that follows what was learned (`policy`)."""
