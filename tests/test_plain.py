"""Settings as plain values, and as people write them."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from plastic_env import EpisodeSettings
from plastic_env.agents import METHODS
from plastic_env.errors import InvalidSetting
from plastic_env.plain import describe, named_value
from plastic_env.scenarios import find
from plastic_env.study.sweep import Run


@dataclass(frozen=True)
class Settings:
    rate: object


def test_settings_by_hand():
    found = describe({"a": Settings((1, None)), 2: [np.arange(2), True, "x"], "f": describe})
    assert found == {"a": {"type": "Settings", "rate": [1, None]}, "2": [[0, 1], True, "x"], "f": {"type": "function"}}


@pytest.mark.parametrize("value", [np.int64(7), np.uint8(7), np.float32(0.5), np.float64(0.5), np.bool_(True)])
def test_numbers_of_numpy_are_numbers(value):
    found = describe(Settings(value))
    assert found == {"type": "Settings", "rate": value.item()}
    assert json.loads(json.dumps(found)) == found


def test_runs_that_differ_by_a_number_of_numpy_differ():
    scenario = find("PermutedDigits-small-v0", tasks=2, updates=5)
    episodes = [EpisodeSettings(max_budget=most) for most in (7, np.int64(7), np.int64(900))]
    ids = [Run("s", scenario, "dense", METHODS["dense"], 0, episode).id for episode in episodes]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("text", "value"), [("a=1", 1), ("a=(1, 2)", (1, 2)), ("a=b=c", "b=c"), ("a=", ""), ("a={[]: 1}", "{[]: 1}")]
)
def test_values_as_people_write_them(text, value):
    assert named_value(text) == ("a", value)


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(InvalidSetting, match=r"--only .* is no setting; give NAME=VALUE"):
        named_value(text, "--only")
