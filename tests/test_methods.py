"""Methods by what people write: names, options, files, modules, installed packages, and mistakes."""

import sys

import numpy as np
import pytest

from plastic_env import SGD, PlasticEnvError
from plastic_env.agents import METHODS
from plastic_env.study.methods import find_method
from plastic_env.study.results import read_run
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

AGENT = '''
from dataclasses import dataclass
from plastic_env import LearnerSettings

@dataclass
class Careful:
    """Grows with care."""

    units: int = 2
    learner = LearnerSettings(live=0.25)

    def reset(self, episode, seed):
        self.episode, self.seed = episode, seed

    def act(self, observation, info):
        return self.episode.action(grow=self.units if info["shift"] else 0)


class Moody(Careful):
    def act(self, observation, info):
        if self.seed == 1 and info["updates"] > 3:
            raise RuntimeError("not today")
        return super().act(observation, info)


class Shy(Careful):
    def act(self, observation, info):
        return {**super().act(observation, info), "budget": 0}
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers agents."""
    (tmp_path / "fancy_agents.py").write_text(AGENT)
    info = tmp_path / "fancy_agents-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fancy-agents\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[plastic_env.agents]\ncareful = fancy_agents:Careful\nbroken = fancy_agents:Missing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("fancy_agents", None)


def test_the_papers_interventions_are_one_option_each():
    assert find_method("grow+trainability=two_speed").method.make().trainability == "two_speed"
    assert find_method("grow+optimizer_state=transplant").method.make().entering == {
        "insertion": "dormant",
        "optimizer_state": "transplant",
        "trainability": "none",
    }
    assert find_method("grow+grow_rule=gradient").method.make().grow_rule == "gradient"
    assert find_method("grow+insertion=net2wider").method.make().insertion == "net2wider"
    varied = find_method("grow+activation=random_smooth_leaky").method
    assert varied.learner.activation == "random_smooth_leaky"
    assert varied.learner.live == METHODS["grow"].learner.live  # what isn't named stays


def test_options_go_to_the_agent_the_learner_and_the_optimizer():
    found = find_method("every_5_recycle+fraction=0.25+hidden=(32,16)+lr=0.01")
    assert found.label == "every_5_recycle+fraction=0.25+hidden=(32,16)+lr=0.01"
    assert (found.method.make().fraction, found.method.make().events) == (0.25, 5)
    assert found.method.learner.slots == (32, 16)
    assert found.method.learner.optimizer.lr == 0.01
    assert METHODS["dense"].varied(optimizer="sgd", momentum=0.9).learner.optimizer == SGD(momentum=0.9)
    assert METHODS["every_5_recycle"].make().fraction == 0.125  # the method itself is as it was


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("gorw", r"Unknown method .* 'gorw'\. Did you mean 'grow'\?"),
        ("grow+evnts=5", r"Unknown option of the method 'evnts'\. Did you mean 'events'\?"),
        ("grow+events", r"grow\+ 'events' is no setting; give NAME=VALUE"),
        ("grow+live=7", r"LearnerSettings has live=7; give a number above 0 and at most 1"),
        ("nowhere.py:Agent", r"There is no file 'nowhere.py' to load the agent Agent from"),
        ("no.such.module:Agent", r"The module no.such.module of Agent can't be imported: ModuleNotFoundError"),
        (
            "plastic_env.agents.structural:Nobody",
            r"names no agent class .* Such classes there: AtShifts, NoEdit, Reset",
        ),
        ("pppo:file", r"The module pppo of file can't be imported"),
        ("a b:c", r"a b:c is no agent; a method is a name; path/to/file.py:Class"),
    ],
)
def test_what_cannot_be_found_is_explained(written, says):
    with pytest.raises(PlasticEnvError, match=says):
        find_method(written)


def test_installed_packages_offer_agents(package):
    found = find_method("careful+units=3")
    assert (found.label, found.method.summary, found.method.make().units) == ("careful+units=3", "Grows with care.", 3)
    assert found.method.learner.live == 0.25
    assert found.source == AGENT
    assert find_method("fancy_agents:Careful").source == AGENT  # the same by import path
    with pytest.raises(PlasticEnvError, match=r"The agent 'broken' \(fancy_agents:Missing\) can't be imported"):
        find_method("broken")
    with pytest.raises(PlasticEnvError, match="Did you mean 'careful'"):
        find_method("carful")


def test_an_agent_that_raises_ends_its_own_run_only(package):
    study = Study("PermutedDigits-small-v0", ("fancy_agents:Moody",), (0, 1, 2), (("tasks", 4), ("updates", 3)))
    finished = run_study(study, package / "results", show_progress=False)
    assert list(finished.failures) == [("Moody", 1)]
    assert finished.failures["Moody", 1] == "Agent 'Moody' (seed 1): RuntimeError: not today"
    assert [result.settings["seed"] for result in finished.results["Moody"]] == [0, 2]
    (run,) = [run for group in study.groups() for run in group if run.seed == 1]
    assert "in act" in run.error_path(package / "results").read_text()  # the traceback
    assert read_run(package / "results", run) is None

    # the others are what they would have been without it
    calm = Study("PermutedDigits-small-v0", ("fancy_agents:Careful",), (0, 1, 2), (("tasks", 4), ("updates", 3)))
    others = run_study(calm, package / "calm", show_progress=False).results["Careful"]
    for mine, other in zip(finished.results["Moody"], (others[0], others[2]), strict=True):
        np.testing.assert_allclose(mine.online_accuracy(), other.online_accuracy(), atol=1e-6)

    # mended, the run is made up for, and the record of the failure goes
    (package / "fancy_agents.py").write_text(AGENT.replace("self.seed == 1", "self.seed == 7"))
    sys.modules.pop("fancy_agents")
    mended = run_study(study, package / "results", show_progress=False)
    assert not mended.failures
    assert len(mended.results["Moody"]) == 3


def test_nonsense_is_refused_with_the_agents_name_the_field_and_the_range(package):
    study = Study("PermutedDigits-small-v0", ("fancy_agents:Shy",), (0,), (("tasks", 2), ("updates", 3)))
    failures = run_study(study, package / "results", show_progress=False).failures
    assert failures["Shy", 0] == (
        "Agent 'Shy' (seed 0): InvalidAction: action['budget'] is 0; give a whole number from 1 to 1000."
    )
