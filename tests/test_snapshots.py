"""Snapshots restore bit for bit, refuse what they can't trust, and make forks possible."""

from dataclasses import dataclass, replace

import gymnasium
import helpers
import numpy as np
import pytest
import torch

from plastic_env import Adam, Conv, Edit, LearnerSettings, Plan
from plastic_env.errors import InvalidEdit, InvalidSnapshot
from plastic_env.learner import snapshots
from plastic_env.learner.trainability import TwoSpeed

ID = "plastic_env/PermutedDigits-small-v0"
LEARNER = LearnerSettings(hidden=(24, 16), live=0.5)
EDITS = [
    {"grow": 3, "trainability": "two_speed", "optimizer_state": "transplant", "store": True},
    {"recycle": 2, "insertion": "fresh"},
    {"prune": 2, "prune_rule": "random", "grow": 1, "grow_rule": "random"},
    {"rewind": "checkpoint"},
]


def make(**settings):
    return gymnasium.make(ID, **{"tasks": 4, "updates": 30, "learner": LEARNER, **settings}).unwrapped


def live_on(env, turns):
    """A digest of every number that comes out of some edits and budgets."""
    seen = []
    for turn in turns:
        observation, reward, *ends, info = env.step(env.episode.action(budget=13, **EDITS[turn % 4]))
        seen.append([observation["global"].tolist(), observation["layers"].tolist(), reward, ends, info["macs"]])
    return repr(seen), env.lifetime.population.state.weights.numpy().tobytes()


@pytest.mark.parametrize("activation", ["relu", "random_smooth_leaky"])
def test_going_on_from_a_file_is_bit_identical_to_never_having_stopped(tmp_path, activation):
    learner = replace(LEARNER, activation=activation)
    env = make(learner=learner)
    env.reset(seed=3)
    live_on(env, range(2))
    env.save(tmp_path / "middle.snapshot")
    expected = live_on(env, range(2, 6)), env.reset()[0]["layers"].tolist()
    other = make(learner=learner)
    other.reset(seed=99)
    observation, info = other.load(tmp_path / "middle.snapshot")
    assert env.observation_space.contains(observation)
    assert info["updates"] == 26
    assert live_on(other, range(2, 6)) == expected[0]
    assert other.reset()[0]["layers"].tolist() == expected[1]  # the next episode, too


def test_saving_changes_nothing(tmp_path):
    with_save, without = make(), make()
    for env in (with_save, without):
        env.reset(seed=3)
        live_on(env, range(2))
    with_save.save(tmp_path / "a")
    assert live_on(with_save, range(2, 4)) == live_on(without, range(2, 4))


@pytest.mark.parametrize("at", [0, 5, 30, 200, -1])
def test_a_damaged_file_is_refused_and_changes_nothing(tmp_path, at):
    env, path = make(), tmp_path / "a"
    env.reset(seed=0)
    env.save(path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    before = env.lifetime.population.state
    with pytest.raises(InvalidSnapshot, match=r"damaged|no snapshot"):
        env.load(path)
    assert env.lifetime.population.state is before


def test_foreign_files_are_refused(tmp_path):
    env, path = make(), tmp_path / "a"
    env.reset(seed=0)
    with pytest.raises(InvalidSnapshot, match="can't be read"):
        env.load(tmp_path / "nowhere")
    torch.save({"a": 1}, path)
    with pytest.raises(InvalidSnapshot, match="no snapshot of plastic_env"):
        env.load(path)
    for captured in (env.lifetime.capture(), {}):
        snapshots.save(path, captured)
        with pytest.raises(InvalidSnapshot, match=r"a holds no environment; load one that PlasticEnv.save wrote"):
            env.load(path)
    env.save(path)
    for other, what in ((make(tasks=5), "scenario"), (make(learner=LearnerSettings(optimizer=Adam(0.1))), "episode")):
        other.reset(seed=0)
        with pytest.raises(InvalidSnapshot, match=f"The snapshot's {what} is"):
            other.load(path)


def test_no_code_is_run_on_loading(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run!",))

    snapshots.save(tmp_path / "evil", {"lifetime": Evil()})
    with pytest.raises(Exception, match="Weights only load failed"):
        snapshots.load(tmp_path / "evil")


def test_forks_live_on_identical_batches_and_leave_the_original_alone():
    env, untouched = make(dtype=torch.float64), make(dtype=torch.float64)
    for one in (env, untouched):
        one.reset(seed=5)
        live_on(one, range(2))
    plans = [
        Plan(Edit(), 20),
        Plan(Edit(grow=(4, 2)), 20),
        Plan(Edit(), 20),
        Plan(Edit(recycle=(3, 3), recycle_rule="random", insertion="fresh"), 11),
    ]
    outcomes = env.fork(plans)
    assert [(o.start, o.stop) for o in outcomes] == [(26, 30), (26, 30), (26, 30), (26, 30)]  # a shift ends them
    assert outcomes[0].loss.tolist() == outcomes[2].loss.tolist()
    assert outcomes[0].loss[0] != outcomes[1].loss[0]
    # each is what the original would have become
    for plan, outcome in zip(plans, outcomes, strict=True):
        alone = make(dtype=torch.float64)
        alone.reset(seed=5)
        live_on(alone, range(2))
        np.testing.assert_allclose(alone.lifetime.step({0: plan})[0].loss, outcome.loss, atol=1e-9)
    assert live_on(env, range(2, 4)) == live_on(untouched, range(2, 4))
    with pytest.raises(InvalidEdit, match="grow at most"):
        env.fork([Plan(Edit(grow=(99, 0)))])


def test_numpy_scalars_in_rules_do_not_spoil_a_snapshot(tmp_path):
    env = make()
    env.reset(seed=0)
    rule = TwoSpeed(np.float64(3), np.int64(50))
    env.lifetime.step({0: Plan(Edit(grow=(1, 1), trainability=rule), 5)})
    env.save(tmp_path / "a")
    env.load(tmp_path / "a")
    assert env.lifetime.population.state.phases[0][0].rule == TwoSpeed(3.0, 50)


@dataclass(frozen=True)
class Hurry:
    """A rule of one's own: newborns at twice the rate."""

    updates: int = 60
    holds_incumbents = False

    def newborns(self, age):
        return np.full(age.shape, 2.0)


def test_rules_of_ones_own_are_kept_in_memory_but_not_in_files(tmp_path):
    hurried = Plan(Edit(grow=(2, 2), trainability=Hurry()), 5)
    env, untouched = make(dtype=torch.float64), make(dtype=torch.float64)
    for one in (env, untouched):
        one.reset(seed=0)
        one.lifetime.step({0: hurried})
    forked = env.fork([Plan(budget=10), Plan(Edit(recycle=(1, 1)), 10)])[0]
    with pytest.raises(InvalidSnapshot, match=r"rule Hurry is in force; it can't be kept in a file: wait until"):
        env.save(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    np.testing.assert_allclose(untouched.lifetime.step({0: Plan(budget=10)})[0].loss, forked.loss, atol=1e-9)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_convolutions_and_running_statistics_go_on_bit_for_bit(tmp_path, norm):
    learner = LearnerSettings(hidden=(Conv(4, editable=False), Conv(8), 16), live=0.5, norm=norm, activation="crelu")
    env, other = make(learner=learner), make(learner=learner)
    env.reset(seed=3)
    live_on(env, range(2))
    env.save(tmp_path / "middle.snapshot")
    other.load(tmp_path / "middle.snapshot")
    assert live_on(other, range(2, 6)) == live_on(env, range(2, 6))


def test_a_snapshot_of_learners_with_other_inputs_is_refused():
    captured = snapshots.capture(helpers.population(1))
    with pytest.raises(InvalidSnapshot, match="inputs=8"):
        snapshots.restore(helpers.population(1, inputs=8), captured)
