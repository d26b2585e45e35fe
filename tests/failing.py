"""A study of which methods fail and diverge, and parts of it."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from plastic_env import SGD, LearnerSettings
from plastic_env.agents import METHODS, Method
from plastic_env.agents.structural import NoEdit, Recycle
from plastic_env.study.results import read_result
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

HOSTILE = '<b>&"x'  # a method's name
SCENARIO = "PermutedDigits-small-v0"
SEEDS = (0, 1, 2, 3)


class Broken:
    def reset(self, episode, seed):
        raise RuntimeError("no <idea>")

    def act(self, observation, info):
        raise NotImplementedError


def failing_study(where):
    """Four methods on a scenario at two strengths; one fails, one diverges."""
    methods = {
        HOSTILE: Method("", Recycle),
        "broken": Method("", Broken),
        "wild": Method("", NoEdit, LearnerSettings(optimizer=SGD(1e9))),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, method in methods.items():
            patch.setitem(METHODS, name, method)
        for strength, names in ((1.0, ("dense", *methods)), (0.5, ("dense", HOSTILE))):
            changes = (("tasks", 5), ("updates", 20), ("strength", strength))
            run_study(Study(SCENARIO, names, SEEDS, changes), where, show_progress=False)
    return where


def copied(folder, where, *patterns):
    for pattern in patterns:
        for path in folder.glob(pattern):
            shutil.copy(path, where)


def changed(path, where, **settings):
    """A copy of a result with other settings."""
    table = pq.read_table(path)
    known = read_result(path).settings
    pq.write_table(table.replace_schema_metadata({b"plastic_env": json.dumps({**known, **settings})}), where)
