"""Schedules of time to integrate, and what others do at equal distances: when they act, and what comes of it."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from plastic_env import EpisodeSettings, LearnerSettings, Lifetime
from plastic_env.agents import METHODS
from plastic_env.agents.integration import (
    AfterShift,
    At,
    AwayFromShifts,
    BeforeShift,
    Every,
    Hazard,
    ParityGated,
    PlateauGated,
    UtilityGated,
    integrated_by,
)
from plastic_env.agents.looking import Elastic, Growing, GrowPrune, Saturation
from plastic_env.agents.responsive import RecycleAfterFall
from plastic_env.agents.structural import CubicPrune
from plastic_env.env.encoding import GLOBAL_FIELDS, LAYER_FIELDS, RULE_FIELDS, Codec, EpisodeSpec
from plastic_env.scenarios import find

SPEC = EpisodeSpec(capacity=(40, 20), live=(4, 2), updates=1000, max_budget=1000, boundaries="decision")
SHIFTS = range(100, 1000, 100)


def play(agent, see=None, spec=SPEC):
    """Let an agent act in a world that only counts: edits by update. `see(now, since the last edit)` gives fields of
    the observation; tasks take 100 updates."""
    agent.reset(spec, 0)
    now, live, last, edits = 0, np.array(spec.live), 0, {}
    while now < spec.updates:
        fields = {"progress": now / spec.updates} | (see(now, now - last) if see else {})
        observation = {
            "global": np.array([fields.get(name, 0.0) for name in GLOBAL_FIELDS], dtype=np.float32),
            "layers": np.array([[fields.get(name, 0.0) for name in LAYER_FIELDS]] * 2, dtype=np.float32),
        }
        action = agent.act(observation, {"updates": now, "shift": now in SHIFTS, "live": live})
        assert spec.action_space.contains(action)
        if any(action[kind].any() for kind in ("grow", "prune", "recycle")):
            live = live + action["grow"] - action["prune"]
            edits[now], last = live.tolist(), now
        following = min((shift for shift in SHIFTS if shift > now), default=spec.updates)
        now = min(now + action["budget"], following if spec.boundaries == "decision" else spec.updates)
    return edits


def test_equal_distances_by_hand():
    edits = play(Every(events=5))
    assert list(edits) == [50, 150, 250, 350, 450]
    assert list(edits.values()) == [[7, 4], [10, 5], [14, 7], [17, 8], [20, 10]]  # to half of 40 and 20


@pytest.mark.parametrize("events", [5, 10, 20])
def test_all_schedules_of_equal_distances_end_alike(events):
    edits = play(Every(events=events, look=5), spec=EpisodeSpec((400, 200), (40, 20), 1000, 1000, "decision"))
    assert len(edits) == events
    assert list(edits.values())[-1] == [200, 100]
    assert np.mean(list(edits)) == pytest.approx(250, abs=5)


def test_times_around_shifts_by_hand():
    assert list(play(AfterShift(events=4))) == [100, 200, 300, 400]
    assert list(play(AfterShift(events=4, delay=30))) == [130, 230, 330, 430]
    assert list(play(BeforeShift(events=4))) == [175, 275, 375, 475]
    assert list(play(BeforeShift(events=4, lead=10))) == [190, 290, 390, 490]
    assert list(play(AwayFromShifts(events=4))) == [150, 250, 350, 450]


def test_given_moments_by_hand():
    edits = play(At(moments=(30, 45, 130)))
    assert list(edits) == [50, 75, 150]  # at the looks that follow, one cohort each: 25, 50, 75, 100, 125, 150
    assert list(edits.values()) == [[9, 5], [15, 7], [20, 10]]
    assert play(At()) == {}


def test_recycling_after_a_fall_by_hand():
    """Tasks from 300 on begin with a fall by .6, those before by .2; the look lasts a batch."""

    def see(now, age):
        return {"accuracy_change": 0.0 if now % 100 == 0 else -0.6 if now > 300 else -0.2}

    asked = []
    agent = RecycleAfterFall(weak=0.1)
    act = agent.act
    agent.act = lambda observation, info: asked.append((info["updates"], act(observation, info))) or asked[-1][1]
    whole = EpisodeSpec((40, 20), (40, 20), 1000, 1000, "decision")
    edits = play(agent, see, whole)
    strong, weak = [301, 401, 501, 601, 701, 801, 901], [101, 201]
    assert list(edits) == weak + strong
    by_update = dict(asked)
    assert [by_update[at]["recycle"].tolist() for at in (101, 301)] == [[4, 2], [30, 15]]
    states = RULE_FIELDS["optimizer_state"]
    assert [states[by_update[at]["optimizer_state"]] for at in (201, 301)] == ["fresh", "reset"]
    assert [by_update[at]["budget"] for at in (0, 100, 101)] == [1000, 1, 1000]
    assert list(play(RecycleAfterFall(look=3), see, whole)) == [at + 2 for at in strong]


def test_a_gate_opens_at_parity_or_when_patience_ends():
    """Parity rises from exp(-2.5) to 1 within 40 updates of birth; the first cohort comes at 25."""

    def rising(now, age):
        return {"comparable": 1.0, "log_gradient_parity": -0.5 * max(0.0, 1 - age / 40)}

    agent = partial(ParityGated, events=4, until=0.2, look=5, smoothing=0.0)
    assert list(play(agent(patience=1000), rising)) == [25, 55, 85, 115]  # 1/2 is reached after 29 updates
    assert list(play(agent(patience=20), rising)) == [25, 45, 65, 85]
    assert list(play(agent(patience=1000, theta=1e-9), rising)) == [25, 30, 35, 40]
    slower = partial(agent, smoothing=0.8, patience=1000)
    assert list(play(slower(), rising))[1] > 60


def test_utility_gate_by_hand():
    def rising(now, age):
        return {"comparable": 1.0, "log_utility_parity": -0.2 + age / 100}

    agent = UtilityGated(events=3, until=0.15, look=10, smoothing=0.0, patience=1000)
    assert list(play(agent, rising)) == [30, 50, 70]


def test_plateau_gate_by_hand():
    def rising(now, age):
        return {"accuracy": 0.5 + 0.01 * min(age, 50)}

    agent = PlateauGated(events=3, until=0.06, look=10, smoothing=0.0, patience=1000)
    edits = list(play(agent, rising))
    assert edits == [10, 90, 170]  # 50 updates up, then three looks without gain


def test_hazard_waits_as_long_as_most_have_needed():
    """Every cohort integrates 60 updates after birth. The first two wait out their patience of 100."""

    def rising(now, age):
        return {"comparable": 1.0, "log_gradient_parity": 0.0 if age >= 60 else -0.5}

    agent = Hazard(events=6, until=0.6, look=10, smoothing=0.0, patience=100)
    edits = list(play(agent, rising))
    assert edits[:3] == [50, 150, 250]
    assert np.diff(edits[2:]).tolist() == [50, 50, 50]  # last seen below at an age of 50


@given(
    seen=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=12),
    age=st.integers(0, 14),
)
def test_chance_of_integration_is_kaplan_meiers(seen, age):
    done, censored = ([time for time, finished in seen if finished is want] for want in (True, False))
    expected = ecdf(CensoredData(done, right=censored)).cdf.evaluate(age) if done else 0.0
    assert integrated_by(age, seen) == pytest.approx(expected)


def test_schedules_grow_and_recycle_by_the_rules_they_are_given():
    for settings, field, name in (
        ({"grow_rule": "gradmax"}, "grow_rule", "gradmax"),
        ({"recycle": True, "recycle_rule": "redo"}, "recycle_rule", "redo"),
    ):
        asked = []
        agent = Every(events=1, **settings)
        act = agent.act
        agent.act = lambda seen, info, act=act, asked=asked: asked.append(act(seen, info)) or asked[-1]
        play(agent)
        (edit,) = (action for action in asked if action["grow"].any() or action["recycle"].any())
        assert RULE_FIELDS[field][edit[field]] == name


@pytest.mark.parametrize("name", [name for name in METHODS if name.removesuffix("_recycle") != name])
def test_recycling_schedules_keep_the_width(name):
    agent = METHODS[name].make()
    steady = lambda now, age: {"comparable": 1.0, "accuracy": 0.5}  # noqa: E731
    spec = EpisodeSpec((40, 20), (40, 20), 1000, 1000, "decision")
    edits = play(agent, steady, spec)
    assert edits
    assert all(live == [40, 20] for live in edits.values())


SCHEDULES = [name for name in METHODS if f"{name}_recycle" in METHODS]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_end_at_the_same_width_on_a_real_stream(name):
    agent = METHODS[name].make()
    agent.events, agent.look = 5, 10
    life = Lifetime(
        find("PermutedDigits-small-v0", tasks=20, updates=20),
        EpisodeSettings(LearnerSettings(hidden=(20, 20), live=0.1)),
    )
    codec = Codec(life)
    agent.reset(codec.spec, 0)
    life.begin({0: np.random.default_rng(0)})
    info, born = codec.info(0), 0
    while not life.over[0]:
        requested, plan = codec.decode(0, agent.act(codec.observe(0), info))
        assert requested == plan
        outcome = life.step({0: plan})[0]
        born += any(outcome.newborns)
        info = codec.info(0, requested, outcome)
    assert born == 5
    assert outcome.live == (10, 10)


def test_schedules_without_shifts_work_where_boundaries_are_hidden():
    hidden = EpisodeSpec(SPEC.capacity, SPEC.live, SPEC.updates, SPEC.max_budget, "hidden")
    assert list(play(Every(events=5), spec=hidden)) == [50, 150, 250, 350, 450]


def test_exchange_falls_with_the_cosine():
    spec = EpisodeSpec((100, 50), (50, 25), 1000, 1000, "decision")
    agent, counts = GrowPrune(every=100, grow_rule="gradient"), []
    agent.reset(spec, 0)
    for now in (100, 500, 900):
        observation = {
            "global": np.array([now / 1000 if name == "progress" else 0 for name in GLOBAL_FIELDS]),
            "layers": np.zeros((2, len(LAYER_FIELDS))),
        }
        agent.next = now
        action = agent.act(observation, {"updates": now, "shift": False, "live": np.array([50, 25])})
        assert action["grow"].tolist() == action["prune"].tolist()
        counts.append(action["grow"].tolist())
    share = [0.15 * (1 + np.cos(np.pi * t)) for t in (0.1, 0.5, 0.9)]
    assert counts == [[round(50 * f), round(25 * f)] for f in share]


def test_cubic_pruning_by_hand():
    spec = EpisodeSpec((64, 64), (64, 64), 1000, 1000, "decision")
    edits = play(CubicPrune(events=4), spec=spec)
    assert [live[0] for live in edits.values()] == [46, 36, 32]  # 32 + 32 (1 - t / 4)^3; nothing is left for the last


def test_growing_adds_one_unit_at_a_time_until_it_is_full():
    edits = play(Growing(every=20))
    assert list(edits)[:3] == [20, 40, 60]
    assert list(edits.values())[:3] == [[5, 3], [6, 4], [7, 5]]
    assert list(edits.values())[-1] == [40, 20]


def test_elastic_prunes_dormant_units_at_shifts():
    edits = play(Elastic(every=20), lambda now, age: {"dormant": 0.5})
    assert edits[80] == [8, 6]
    assert edits[100] == [5, 4]  # half of 8 and of 6 go, and one comes


def test_saturation_grows_where_rank_and_accuracy_are_used_up():
    both = {"accuracy_change": 0.0, "effective_rank": 0.4}
    assert play(Saturation(every=100), lambda now, age: both)[100] == [8, 6]
    for spoilt in ({"accuracy_change": 0.1}, {"effective_rank": 0.2}):
        assert not play(Saturation(every=100), lambda now, age, spoilt=spoilt: both | spoilt)
