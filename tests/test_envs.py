"""Contracts that every registered environment keeps."""

import hashlib
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import helpers
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from plastic_env import SGD, EpisodeSettings, LearnerSettings, PlasticEnv
from plastic_env.env import window
from plastic_env.env.encoding import global_field, layer_field
from plastic_env.errors import InvalidAction, InvalidEdit, InvalidSetting, UnknownName
from plastic_env.scenarios import NAMESPACE, SCENARIOS, find
from plastic_env.streams.samples import Samples
from plastic_env.streams.stream import Scenario, Task, TaskStream

ALL = [f"{NAMESPACE}/{name}" for name in SCENARIOS]
IDS = [name for name in ALL if "-small-" in name]  # the others differ in nothing but sizes
PERMUTED = f"{NAMESPACE}/PermutedDigits-small-v0"
SHORT = {"tasks": 3, "updates": 20}


def short(env_id):
    return helpers.short(env_id.removeprefix(f"{NAMESPACE}/"))


def rollout(env_id, seed, steps=8, **settings):
    """A digest of everything that a random policy sees."""
    env = gymnasium.make(env_id, **short(env_id), **settings)
    env.action_space.seed(seed)
    seen = [env.reset(seed=seed)]
    for _ in range(steps):
        seen.append(env.step(env.action_space.sample()))
        if seen[-1][2] or seen[-1][3]:
            seen.append(env.reset())
    return hashlib.sha256(b"".join(flatten(seen))).hexdigest()


def flatten(value):
    if isinstance(value, dict):
        return [part for key in sorted(value) for part in flatten(value[key])]
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in flatten(item)]
    return [np.asarray(value).tobytes()]


def test_registered_ids_are_the_scenarios():
    assert sorted(ALL) == sorted(i for i in gymnasium.registry if i.startswith(f"{NAMESPACE}/"))


@pytest.mark.parametrize("settings", [{}, {"boundaries": "hidden", "compute_cap": 10**9}], ids=["plain", "hidden"])
@pytest.mark.parametrize("env_id", ALL)
def test_check_env_passes_without_warnings(env_id, settings, monkeypatch):
    monkeypatch.setattr(window, "has_display", lambda: False)  # no windows while testing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id, **short(env_id), **settings).unwrapped)


def test_same_seed_same_trajectory_also_in_a_new_process():
    here = {env_id: rollout(env_id, 11) for env_id in IDS}
    for env_id in IDS:
        assert rollout(env_id, 11) == here[env_id]
        assert rollout(env_id, 12) != here[env_id]
    code = "from test_envs import IDS, rollout; print({env_id: rollout(env_id, 11) for env_id in IDS})"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {code}"]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert found.stdout.strip() == str(here)


@pytest.mark.parametrize("env_id", IDS)
def test_observations_stay_in_bounds_even_when_training_blows_up(env_id):
    for learner in (LearnerSettings(live=0.1), LearnerSettings(optimizer=SGD(1e12))):
        env = gymnasium.make(env_id, **short(env_id), learner=learner)
        env.action_space.seed(0)
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        over = False
        while not over:
            observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
            assert env.observation_space.contains(observation)
            assert 0 <= reward <= 1
            over = terminated or truncated
        assert info["diverged"] == isinstance(learner.optimizer, SGD)


@pytest.mark.parametrize("env_id", IDS)
def test_return_is_the_mean_online_accuracy_of_the_tasks_that_are_scored(env_id):
    env = gymnasium.make(env_id, **short(env_id))
    env.reset(seed=0)
    total, over = 0.0, False
    while not over:
        _, reward, over, _, _ = env.step(env.unwrapped.episode.action(recycle=4, budget=13))
        total += reward
    accuracy = np.concatenate([outcome.accuracy for outcome in env.unwrapped.outcomes])
    assert len(accuracy) == env.unwrapped.lifetime.updates
    if "FivePlusOne" in env_id:
        accuracy = np.concatenate([accuracy[:20], accuracy[40:]])  # the second task is an easy one
    assert total == pytest.approx(accuracy.mean(), abs=1e-12)


@dataclass(frozen=True)
class Seamless:
    """The batches of another scenario as one single task."""

    scenario: Scenario

    def stream(self, seed):
        real = self.scenario.stream(seed)
        x, y = real.batches(0, real.updates)
        order = torch.arange(len(x) * real.batch_size).view(len(x), real.batch_size)
        task = Task(Samples(x.flatten(0, 1), y.flatten(0, 1)), order)
        return TaskStream(real.signature, (real.updates,), real.batch_size, lambda *_: task, seed)


@pytest.mark.parametrize("env_id", IDS)
def test_hidden_boundaries_leave_no_trace(env_id):
    """An agent gets bit for bit what it gets on the same batches without any shift, and no step is cut short."""
    scenario = find(env_id, **short(env_id))
    traces = []
    for stream in (scenario, Seamless(scenario)):
        env = PlasticEnv(stream, EpisodeSettings(boundaries="hidden"))
        env.action_space.seed(3)
        trace, over = [env.reset(seed=4)], False
        for at in range(100):
            action = {**env.action_space.sample(), "budget": 1 + 7 * at % 13}
            observation, _, over, _, info = env.step(action)  # rewards may tell of tasks that aren't scored
            trace.append((observation, over, info))
            if over:
                break
            assert info["updates"] == trace[-2][-1]["updates"] + action["budget"]
        assert over
        traces.append(flatten(trace))
    assert traces[0] == traces[1]


def test_clipping_is_reported_and_raising_refuses():
    actions = {"prune": 64, "recycle": 64, "grow": 64}
    env = gymnasium.make(PERMUTED, **SHORT)
    env.reset(seed=0)
    *_, info = env.step(env.unwrapped.episode.action(budget=1, **actions))
    assert info["clipped"]
    assert info["requested"].tolist() == [[64, 64]] * 3
    assert info["applied"].tolist() == [[63, 63], [63, 63], [1, 1]]  # grow, prune, recycle
    assert info["live"].tolist() == [64, 64]
    strict = gymnasium.make(PERMUTED, **SHORT, illegal="raise")
    strict.reset(seed=0)
    with pytest.raises(InvalidEdit, match="prune at most 63"):
        strict.step(strict.unwrapped.episode.action(**actions))
    assert not strict.step(strict.unwrapped.episode.action(prune=63))[-1]["clipped"]


OUTSIDE = {
    "negative": ("grow", np.array([-1, 0]), "none negative"),
    "too many": ("prune", np.array([65, 0]), r"at most \[64, 64\]"),
    "fraction": ("recycle", np.array([0.5, 0.0]), "whole numbers"),
    "nan": ("grow", np.array([np.nan, 0.0]), "whole numbers"),
    "wrong shape": ("grow", np.array([1, 1, 1]), "2 whole numbers"),
    "no such rule": ("prune_rule", 9, "0: magnitude"),
    "budget zero": ("budget", 0, "from 1 to 1000"),
    "budget too large": ("budget", 1001, "from 1 to 1000"),
    "no switch": ("reset", 2, "from 0 to 1"),
}


@pytest.mark.parametrize("illegal", ["clip", "raise"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_actions_outside_of_the_space_always_raise_and_change_nothing(name, illegal):
    field, value, message = OUTSIDE[name]
    env = gymnasium.make(PERMUTED, **SHORT, illegal=illegal).unwrapped
    env.reset(seed=0)
    before = env.lifetime.population.state.weights.clone()
    with pytest.raises(InvalidAction, match=message):
        env.step({**env.episode.action(), field: value})
    assert (env.lifetime.population.state.weights == before).all()
    assert env.lifetime.position[0] == 0


def test_actions_of_the_wrong_form_say_what_is_missing():
    env = gymnasium.make(PERMUTED, **SHORT).unwrapped
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match="give a dict with the keys"):
        env.step(3)
    with pytest.raises(InvalidAction, match=r"lacks \['budget'\]"):
        env.step({name: value for name, value in env.episode.action().items() if name != "budget"})
    with pytest.raises(UnknownName, match="Did you mean 'grow'"):
        env.episode.action(grw=3)
    with pytest.raises(UnknownName, match="Did you mean 'activation'"):
        env.episode.action(grow=3, grow_rule="activations")


def test_action_builder_agrees_with_the_space():
    episode = gymnasium.make(PERMUTED).unwrapped.episode
    action = episode.action(grow=(3, 4), prune=2, grow_rule="random", insertion="zero_out", rewind="initial", budget=7)
    assert episode.action_space.contains(action)
    assert action["grow"].tolist() == [3, 4]
    assert action["prune"].tolist() == [2, 2]
    assert (action["rewind"], action["reset"], action["budget"]) == (1, 0, 7)


@pytest.mark.parametrize("env_id", IDS)
def test_rendering(env_id):
    env = gymnasium.make(
        env_id, **short(env_id), render_mode="ansi", learner=LearnerSettings(hidden=(40, 20), live=0.5)
    )
    env.reset(seed=0)
    assert f"update 0 of {env.unwrapped.lifetime.updates}" in env.render()
    env.step(env.unwrapped.episode.action(grow=(4, 2), budget=5))
    lines = env.render().splitlines()
    assert lines[1] == f"layer 0 [{'#' * 20}{'+' * 4}{'.' * 16}] 24 of 40 live, 4 newest"
    picture = gymnasium.make(env_id, **short(env_id), render_mode="rgb_array")
    picture.reset(seed=0)
    picture.step(picture.unwrapped.episode.action(recycle=5))
    image = picture.render()
    assert image.shape[1:] == (976, 3)
    assert image.dtype == np.uint8
    assert image.std() > 10


def test_observation_by_hand():
    cap = 10**8
    env = gymnasium.make(PERMUTED, **SHORT, learner=LearnerSettings(live=0.25), compute_cap=cap).unwrapped
    env.reset(seed=0)
    env.step(env.episode.action(budget=5))
    observation, _, _, _, info = env.step(env.episode.action(grow=(16, 8), budget=10))
    latest, former = env.outcomes[-1], env.outcomes[-2]
    expected = {
        "progress": 15 / 60,
        "since_edit": 10 / 110,
        "accuracy": latest.accuracy.mean(),
        "accuracy_change": latest.accuracy.mean() - former.accuracy.mean(),
        "loss": latest.loss.mean() / (1 + latest.loss.mean()),
        "compute_left": 1 - info["macs"] / cap,
        "at_shift": 0,
    }
    for name, value in expected.items():
        assert global_field(observation, name) == pytest.approx(value, abs=1e-6), name
    layers = {
        "live": [32 / 64, 24 / 64],
        "newborn": [16 / 32, 8 / 24],
        "age": [(16 * 15 + 16 * 10) / 32, (16 * 15 + 8 * 10) / 24],
        "comparable": [1, 1],
        "log_gradient_parity": latest.end.log_gradient_parity / 5,
        "growable": [32 / 64, 40 / 64],
        "prunable": [31 / 64, 23 / 64],
    }
    layers["age"] = [age / (age + 1000) for age in layers["age"]]
    for name, value in layers.items():
        np.testing.assert_allclose(layer_field(observation, name), value, atol=1e-6, err_msg=name)
    assert (
        info["macs"]
        == env.lifetime.ledger.total[0]
        == env.lifetime.ledger.probes[0] + sum(getattr(env.lifetime.ledger, part)[0] for part in ("training", "edits"))
    )
    birth = latest.birth
    np.testing.assert_array_equal(info["birth_parity"], [birth.log_activation_parity, birth.log_gradient_parity])


def test_step_without_an_episode_asks_for_a_reset():
    env = gymnasium.make(PERMUTED, **SHORT).unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.episode.action())
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.episode.action())
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(env.episode.action())


def test_at_shift_is_seen_where_it_should_be():
    env = gymnasium.make(PERMUTED, **SHORT)
    env.reset(seed=0)
    flags = []
    for _ in range(6):
        observation, _, _, _, info = env.step(env.unwrapped.episode.action(budget=10))
        assert global_field(observation, "at_shift") == info["shift"]
        flags.append(info["shift"])
    assert flags == [False, True, False, True, False, False]


def shy(outcome):
    return None if outcome.stop else 0.0


@pytest.mark.parametrize(
    ("reward", "returned"),
    [(shy, "shy returned None"), (lambda o: o.accuracy, "<lambda> returned array"), (lambda o: "1", "'1'")],
)
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_rewards_that_are_no_numbers_are_refused(make, reward, returned):
    env = make(PERMUTED, tasks=2, updates=20, reward=reward)
    env.reset(seed=0)
    with pytest.raises(InvalidSetting, match=f"(?s){returned}.*; let it return a number"):
        env.step(env.action_space.sample())


@pytest.mark.parametrize("value", [1, 0.5, True, np.float32(0.5), np.bool_(True), np.array(0.5), torch.tensor(0.5)])
def test_rewards_are_numbers_of_any_kind(value):
    env = gymnasium.make(PERMUTED, tasks=2, updates=20, reward=lambda outcome: value)
    env.reset(seed=0)
    reward = env.step(env.unwrapped.episode.action(budget=1))[1]
    assert type(reward) is float
    assert reward == float(value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"taks": 3}, UnknownName, "Did you mean 'tasks'"),
        ({"reward": "acuracy"}, UnknownName, "Known: online_accuracy"),
        ({"illegal": "ignore"}, UnknownName, "Known: clip, raise"),
        ({"render_mode": "video"}, UnknownName, "Known: ansi, rgb_array, human"),
        ({"colour": "size"}, UnknownName, "Known: age, parity"),
        ({"tasks": -1}, InvalidSetting, "at least 1"),
    ],
)
def test_mistaken_settings_are_named(settings, error, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium warns of render modes before we refuse them
        with pytest.raises(error, match=message):
            gymnasium.make(PERMUTED, **settings)
