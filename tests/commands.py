"""Runs of the command line, what they leave in folders, and files of agents for them."""

import sys
from contextlib import contextmanager
from pathlib import Path

from plastic_env.cli import main
from plastic_env.study.sweep import Study

DIGITS = "PermutedDigits-small-v0"

AGENTS = """
import os
import signal
import time
from pathlib import Path

import numpy as np

import drawn_beside
from plastic_env import LearnerSettings


class Drawing:
    learner = LearnerSettings(hidden=(8,))

    def reset(self, episode, seed):
        self.episode, self.rng = episode, np.random.default_rng(seed)

    def act(self, observation, info):
        return self.episode.action(recycle=drawn_beside.draw(self.rng), insertion="fresh", budget=3)


class Failing(Drawing):
    def act(self, observation, info):
        if info["updates"] > 5:
            raise RuntimeError("not today")
        return super().act(observation, info)
"""
BESIDE = """
def draw(rng):
    return int(rng.integers(4))
"""


@contextmanager
def agents_in(folder, monkeypatch, more):
    """The agents above and more, in a file of the folder, from where all is run; how their names begin there."""
    (folder / "drawing_agents.py").write_text(AGENTS + more)
    (folder / "drawn_beside.py").write_text(BESIDE)
    monkeypatch.chdir(folder)
    path = list(sys.path)
    yield "drawing_agents.py:"
    sys.path[:] = path
    for name in ("drawing_agents", "drawn_beside"):
        sys.modules.pop(name, None)


def study_of(*methods, **parts):
    return Study(DIGITS, methods or ("dense",), parts.pop("seeds", 2), {"tasks": 4, "updates": 4}, **parts)


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def contents(folder):
    return {file.name: file.read_bytes() for file in Path(folder).glob("*.parquet")}
