"""Menus and flat observations, for one learner and for many."""

import warnings
from dataclasses import replace

import gymnasium
import helpers
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from plastic_env import LearnerSettings, PlasticVectorEnv
from plastic_env.env.encoding import GLOBAL_FIELDS, LAYER_FIELDS, EpisodeSpec, global_field, layer_field
from plastic_env.env.features import Features
from plastic_env.env.menus import Choices, Menu, MenuItem, recycling_menu
from plastic_env.env.wrappers import FlattenObservations, MenuActions
from plastic_env.errors import InvalidAction, InvalidSetting, UnknownName
from plastic_env.scenarios import NAMESPACE, SCENARIOS, find

SPEC = EpisodeSpec(capacity=(64, 10), live=(32, 5), updates=100, max_budget=50, boundaries="decision")
GROW = Menu(
    (
        MenuItem("wait"),
        MenuItem("grow", {"grow": 0.25}),
        MenuItem("prune", {"prune": 0.5}),
        MenuItem("all", {"prune": 1.0}),
    )
)


def make(menu=None, **settings):
    env = gymnasium.make("plastic_env/MixedShiftsDigits-small-v0", updates=60, shortest=15, longest=25, **settings)
    return FlattenObservations(MenuActions(env, menu))


@pytest.mark.parametrize("menu", [None, GROW], ids=["multi", "one"])
@pytest.mark.parametrize("settings", [{}, {"boundaries": "hidden"}], ids=["plain", "hidden"])
def test_both_checkers_pass_without_warnings(menu, settings):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(make(menu, **settings))
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")  # said of every wrapper
        check_env(make(menu, **settings))


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "-small-" in name])
def test_every_scenario_is_an_environment_of_stable_baselines(name):
    library = pytest.importorskip("stable_baselines3")
    env = gymnasium.make(f"{NAMESPACE}/{name}", **helpers.short(name), ranks=False)
    flat = FlattenObservations(MenuActions(env))
    model = library.PPO("MlpPolicy", flat, n_steps=4, batch_size=4, n_epochs=1, device="cpu")
    model.learn(4)


def test_spaces():
    assert make().action_space == spaces.MultiDiscrete([6, 3])
    assert make(GROW).action_space == spaces.Discrete(4)
    box = make().observation_space
    assert box.shape == (len(GLOBAL_FIELDS) + 2 * len(LAYER_FIELDS),)
    assert box.dtype == np.float32
    names = make().fields
    assert [box.low[names.index(name)] for name in ("accuracy", "accuracy_change", "layer1.log_gradient_parity")] == [
        0,
        -1,
        -1,
    ]


def test_what_is_chosen_is_what_happens():
    env = make()
    env.reset(seed=0)
    *_, info = env.step([3, 1])  # a quarter, for 16 updates
    assert info["applied"].tolist() == [[0, 0], [0, 0], [16, 16]]
    assert info["updates"] == min(16, env.unwrapped.lifetime.streams[0].next_shift(0))
    plan = env.unwrapped.outcomes[-1].plan
    assert (plan.edit.insertion, plan.edit.recycle_rule, plan.edit.optimizer_state) == ("fresh", "utility", "fresh")
    env.step([0, 2])
    assert env.unwrapped.outcomes[-1].plan.edit.empty
    for choice in ([6, 0], 2, [1.7, 0.5], np.array([1.0, 0.0]), [True, False]):
        with pytest.raises(InvalidAction, match=r"give whole numbers from 0, below \[6, 3\]"):
            env.step(choice)


def test_counts_by_hand():
    choices = Choices(GROW, SPEC)
    live = np.array([[32, 5], [60, 10], [1, 1]])
    assert choices.counts(1, live)["grow"].tolist() == [[16, 2], [4, 0], [16, 2]]  # of the slots
    assert choices.counts(2, live)["prune"].tolist() == [[16, 2], [30, 5], [0, 0]]  # of the live; one stays
    assert choices.counts(3, live)["prune"].tolist() == [[31, 4], [59, 9], [0, 0]]
    small = Choices(Menu((MenuItem("some", {"recycle": 0.01}), MenuItem("copy", {"recycle": 1.0, **COPY}))), SPEC)
    assert small.counts(0, live)["recycle"].tolist() == [[1, 1]] * 3
    assert small.counts(1, live)["recycle"].tolist() == [[31, 4], [59, 9], [0, 0]]  # a donor stays
    exact = Choices(Menu((MenuItem("so many", {"grow": (3, 0), "recycle": 2}),)), SPEC)
    assert exact.action(0, live[0])["grow"].tolist() == [3, 0]
    assert exact.action(0, live[0])["recycle"].tolist() == [2, 2]
    assert exact.action(0, live[0])["budget"] == 50


COPY = {"optimizer_state": "transplant"}


def test_masks_say_what_is_possible():
    full = MenuActions(gymnasium.make("plastic_env/PermutedDigits-small-v0", tasks=2), GROW)
    full.reset(seed=0)
    assert full.action_masks().tolist() == [True, False, True, True]
    full.step(3)
    assert full.action_masks().tolist() == [True, True, False, False]
    masks = Choices(replace(GROW, budgets=(5, None)), SPEC).masks(np.array([[64, 10], [64, 9], [1, 1]]))
    assert masks.shape == (3, 6)
    assert masks[:, 1].tolist() == [False, True, True]
    assert masks[:, 2].tolist() == [True, True, False]
    assert masks[:, 4:].all()


def test_nothing_that_is_chosen_is_clipped():
    """Whatever is chosen, and however few units there are: the environment never has to cut what the menu asks for."""
    menu = Menu((*recycling_menu(optimizer_states=("fresh", "transplant")).items, *GROW.items[1:]), (1, 2))
    env = make(menu, learner=LearnerSettings(hidden=(6, 3), live=0.5), illegal="raise")
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(60):
        *_, terminated, truncated, info = env.step(env.action_space.sample())
        assert not info["clipped"]
        if terminated or truncated:
            env.reset()


def test_hidden_shifts_stay_hidden():
    """Masks depend on the live units alone, and a flat observation holds what the observation does."""
    env = make(boundaries="hidden")
    observation, _ = env.reset(seed=0)
    before = env.get_wrapper_attr("action_masks")()
    for _ in range(3):
        observation, *_ = env.step([0, 1])
        assert observation[env.fields.index("at_shift")] == 0
        np.testing.assert_array_equal(env.get_wrapper_attr("action_masks")(), before)


def test_features_of_one_and_of_many():
    env = PlasticVectorEnv(find("PermutedDigits-small-v0", tasks=2), 3)
    seen, _ = env.reset(seed=0)
    features = Features(("loss", "layer1.live", "mean.weight_norm"), 2)
    many = features.of(seen)
    assert many.shape == (3, 3)
    for member in range(3):
        one = {name: values[member] for name, values in seen.items()}
        expected = [global_field(one, "loss"), layer_field(one, "live")[1], layer_field(one, "weight_norm").mean()]
        np.testing.assert_allclose(features.of(one), expected, atol=1e-6)
        np.testing.assert_array_equal(features.of(one), many[member])
        whole = Features.all(2).of(one)
        np.testing.assert_array_equal(whole, np.concatenate([one["global"], one["layers"].ravel()]))
    with pytest.raises(UnknownName, match="Did you mean"):
        Features(("layer2.live",), 2)


@pytest.mark.parametrize(
    ("make_menu", "error", "message"),
    [
        (lambda: Menu(()), InvalidSetting, "at least one"),
        (lambda: Menu((MenuItem("a"), MenuItem("a"))), InvalidSetting, "no name twice"),
        (lambda: Menu((MenuItem("a"),), (0,)), InvalidSetting, "whole numbers of at least 1"),
        (lambda: MenuItem("a", {"grow": 1.5}), InvalidSetting, "fraction of the slots"),
        (lambda: MenuItem("a", {"recycle": -1}), InvalidSetting, "fraction of the live units"),
        (lambda: MenuItem("a", {"budget": 3}), InvalidSetting, "list budgets"),
        (lambda: Choices(Menu((MenuItem("a", {"grw": 3}),)), SPEC), UnknownName, "Did you mean 'grow'"),
        (lambda: Choices(Menu((MenuItem("a"),), (51,)), SPEC), InvalidAction, "from 1 to 50"),
    ],
)
def test_menus_that_make_no_sense_are_refused(make_menu, error, message):
    with pytest.raises(error, match=message):
        make_menu()
