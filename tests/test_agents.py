"""Agents: the protocol, and each method's schedule by hand."""

import pickle

import numpy as np
import pytest

from plastic_env import EpisodeSettings, LearnerSettings, Lifetime
from plastic_env.agents import DEMO, METHODS, Method
from plastic_env.agents.structural import Grow, Prune
from plastic_env.env.encoding import Codec
from plastic_env.scenarios import find


def live_through(method, tasks=20, updates=3, see=None):
    """The spec and the outcomes of a life on a short stream; `see` collects what the agent was shown and did."""
    life = Lifetime(
        find("PermutedDigits-small-v0", tasks=tasks, updates=updates), EpisodeSettings(learner=method.learner)
    )
    codec, agent = Codec(life), method.make()
    agent.reset(codec.spec, 0)
    life.begin({0: np.random.default_rng(0)})
    info, outcomes = codec.info(0), []
    while not life.over[0]:
        observation = codec.observe(0)
        action = agent.act(observation, info)
        if see is not None:
            see.append((observation, info, action))
        requested, plan = codec.decode(0, action)
        assert requested == plan  # the project's own agents never ask for the impossible
        outcomes.append(life.step({0: plan})[0])
        info = codec.info(0, requested, outcomes[-1])
    return codec.spec, outcomes


@pytest.mark.parametrize("name", METHODS)
def test_every_method_lives_through_a_stream(name):
    _, outcomes = live_through(METHODS[name])
    assert outcomes[-1].terminated
    assert METHODS[name].summary
    if name in DEMO:
        assert len(outcomes) == 20  # one decision per task
        assert outcomes[0].plan.edit.empty


@pytest.mark.parametrize(
    ("name", "first", "last", "edits"),
    [
        ("dense", 64, 64, 0),
        ("reset", 64, 64, 19),
        ("grow", 6, 32, 10),
        ("grow_integrate", 6, 32, 5),
        ("grow_smooth_leaky", 6, 32, 10),
        ("prune", 64, 32, 10),
        ("prune_no_rewind", 64, 32, 10),
        ("dense_rewind", 64, 64, 10),
        ("recycle", 64, 64, 19),
    ],
)
def test_widths_and_number_of_edits(name, first, last, edits):
    """20 tasks have 19 shifts, ten of them in the first half, where growing and pruning happen."""
    _, outcomes = live_through(METHODS[name])
    assert outcomes[0].live == (first, first)
    assert outcomes[-1].live == (last, last)
    assert sum(not outcome.plan.edit.empty for outcome in outcomes) == edits


def test_growth_events_of_grow_integrate_by_hand():
    widths = [outcome.live[0] for outcome in live_through(METHODS["grow_integrate"])[1]]
    # from 6 to 64 in five events, each in the middle of two of the first ten tasks: 6 + 26 e / 5
    assert widths == [6, 11, 11, 16, 16, 22, 22, 27, 27, *[32] * 11]


def test_prune_follows_the_papers_counts():
    """k = min(q, ceil(q / (T - t)), a) with q = 32 still to remove and T = 20 cycles, two of them per shift here."""
    expected, q = [], 32
    for t in range(20):
        q -= min(q, int(np.ceil(q / max(1, 20 - t))))
        if t % 2:
            expected.append(32 + q)
    widths = [outcome.live[0] for outcome in live_through(METHODS["prune"])[1]]
    assert widths == [64, *expected, *[32] * 9]
    assert [o.plan.edit.rewind for o in live_through(METHODS["prune"])[1]] == ["none", *["initial"] * 10, *["none"] * 9]
    assert all(o.plan.edit.rewind == "none" for o in live_through(METHODS["prune_no_rewind"])[1])


def test_grow_and_prune_may_end_at_another_width_in_each_layer():
    targets = (0.25, 0.5)
    for agent, live in ((Grow(target=targets, events=4), 0.1), (Prune(target=targets, events=4), 1.0)):
        method = Method("", lambda agent=agent: agent, LearnerSettings(live=live))
        assert live_through(method)[1][-1].live == (16, 32)


def test_recycle_replaces_an_eighth():
    _, outcomes = live_through(METHODS["recycle"])
    assert all(outcome.newborns == (8, 8) for outcome in outcomes[1:])


def test_agents_are_described_by_their_fields():
    assert Grow(events=7).events == 7
    assert "rewind=True" in repr(Prune())


@pytest.mark.parametrize("name", METHODS)
def test_agents_decide_by_what_they_are_shown_alone(name):
    """An agent that is shown the observations and infos of a life that somebody else has led asks for the same: it has
    looked at nothing else."""
    seen = []
    spec, _ = live_through(METHODS[name], tasks=12, see=seen)
    again = METHODS[name].make()
    again.reset(spec, 0)
    for observation, info, action in pickle.loads(pickle.dumps(seen)):
        repeated = again.act(observation, info)
        assert repeated.keys() == action.keys()
        assert all(np.array_equal(repeated[part], action[part]) for part in action)
