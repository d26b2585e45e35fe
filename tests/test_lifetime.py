"""The rules of an episode."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from plastic_env import SGD, Conv, Edit, EpisodeSettings, LearnerSettings, Lifetime, Plan
from plastic_env.env.encoding import Codec
from plastic_env.env.reference import fresh_accuracy, relative_accuracy
from plastic_env.errors import InvalidEdit, InvalidSetting, UnknownName
from plastic_env.learner.compute import forward_macs, training_macs
from plastic_env.scenarios import find

SCENARIO = find("PermutedDigits-small-v0", tasks=3, updates=20)
SMALL = LearnerSettings(hidden=(16, 12))


def begun(n=1, scenario=SCENARIO, **settings):
    life = Lifetime(scenario, EpisodeSettings(**{"learner": SMALL, **settings}), n, dtype=torch.float64)
    life.begin({member: np.random.default_rng(member) for member in range(n)})
    return life


def test_a_step_ends_at_a_shift_when_boundaries_are_for_deciding():
    life = begun()
    first = life.step({0: Plan(budget=15)})[0]
    assert (first.start, first.stop, first.shift) == (0, 15, False)
    second = life.step({0: Plan(budget=15)})[0]
    assert (second.start, second.stop, second.shift) == (15, 20, True)
    third = life.step({0: Plan(budget=1000)})[0]
    assert (third.start, third.stop, third.shift) == (20, 40, True)
    last = life.step({0: Plan(budget=1000)})[0]
    assert (last.stop, last.shift, last.terminated, last.truncated) == (60, False, True, False)


def test_hidden_boundaries_are_run_across_and_nothing_tells_of_them():
    life = begun(boundaries="hidden")
    outcome = life.step({0: Plan(budget=20)})[0]
    assert (outcome.stop, outcome.shift, life.at_shift[0]) == (20, False, False)
    assert life.step({0: Plan(budget=30)})[0].stop == 50


def test_each_batch_is_scored_before_it_is_trained_on():
    life = begun(learner=replace(SMALL, optimizer=SGD(0.1)))
    stream, population = life.streams[0], life.population
    x, y = stream.batches(0, 1)
    probe = population.probe(x[0][None].double(), y)
    outcome = life.step({0: Plan(budget=1)})[0]
    assert outcome.loss[0] == pytest.approx(probe.loss.item(), abs=1e-12)


def test_probe_batch_is_the_latest_that_was_trained_on():
    life = begun(probe_samples=40)
    life.step({0: Plan(budget=7)})
    x, y = life.streams[0].batches(0, 7)
    assert torch.equal(life._probe_x[0], x.flatten(0, 1)[-40:])
    assert torch.equal(life._probe_y[0], y.flatten()[-40:])


def test_first_probe_holds_no_sample_of_a_later_task():
    scenario = find("PermutedDigits-small-v0", tasks=10, updates=2)
    life = begun(scenario=scenario)
    x, _ = life.streams[0].batches(0, 2)
    first = {tuple(row) for row in x.flatten(0, 1).tolist()}
    assert {tuple(row) for row in life._probe_x[0].tolist()} == first


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("hidden", [(16, 12), (Conv(4), 12)])
def test_results_do_not_depend_on_how_many_threads_share_the_learners(dtype, hidden):
    learner = LearnerSettings(hidden=hidden, live=0.5, activation="random_smooth_leaky")
    found = []
    for threads in (1, 2, 3, 9):
        life = Lifetime(SCENARIO, EpisodeSettings(learner), 5, dtype=dtype, threads=threads)
        assert life.population.threads == threads
        life.begin({member: np.random.default_rng(member) for member in range(5)})
        life.population.state.weights[2] *= 1e30 if dtype == torch.float32 else 1e200  # one diverges
        plans = {member: Plan(Edit(grow=(member % 3, 1)), budget=10 + member) for member in range(5)}
        outcomes = life.step(plans)
        found.append((life.population.state.weights.numpy().tobytes(), repr(outcomes), repr(life.diagnosis)))
    assert found[0] == found[1] == found[2] == found[3]
    assert life.population.state.frozen[2]


def test_results_do_not_depend_on_torchs_threads():
    before, lives = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        life = begun()
        life.step({0: Plan(Edit(recycle=(3, 3)), budget=20)})
        assert torch.get_num_threads() == threads
        lives.append((life.population.state.weights.numpy().tobytes(), repr(life.diagnosis)))
    torch.set_num_threads(before)
    assert lives[0] == lives[1]


@pytest.mark.parametrize("member", [-1, 2, 0.5])
def test_learners_that_do_not_exist_are_refused(member):
    life = begun(n=2)
    with pytest.raises(InvalidEdit, match="There is no learner"):
        life.step({0: Plan(), member: Plan()})
    assert life.position.tolist() == [0, 0]


@pytest.mark.parametrize("wrong", [{-1: np.random.default_rng(0)}, {5: np.random.default_rng(0)}, {1: 3}])
def test_beginnings_that_are_refused_change_nothing(wrong):
    life, rng = begun(2), np.random.default_rng(7)
    before, state, stream = repr(life.capture()), rng.bit_generator.state, life.streams[0]
    with pytest.raises((InvalidEdit, InvalidSetting), match=r"There is no learner|give numpy.random.default_rng\("):
        life.begin({0: rng, **wrong})
    assert repr(life.capture()) == before
    assert rng.bit_generator.state == state
    assert life.streams[0] is stream


def test_knowledge_is_measured_on_the_test_samples_of_the_tasks_so_far():
    scenario = find("SplitDigits-small-v0", tasks=3, updates=30)
    for tests in ("none", "task", "past"):
        life = Lifetime(scenario, EpisodeSettings(tests=tests), n=2)
        life.begin({member: np.random.default_rng(member) for member in range(2)})
        found, macs = [], life.ledger.tests.copy()
        for budget in (20, 10, 30, 30):
            found.append(life.step({member: Plan(budget=budget) for member in range(2)})[1])
        expected = {"none": [(), (), (), ()], "task": [(), (0,), (1,), (2,)], "past": [(), (0,), (0, 1), (0, 1, 2)]}
        assert [outcome.tested for outcome in found] == expected[tests]
        assert (macs == 0).all()
        if tests == "none":
            assert life.ledger.tests[1] == 0
            continue
        stream, last = life.streams[1], dict(zip(found[-1].tested, found[-1].tests, strict=True))
        for task, accuracy in last.items():
            x, y = stream.test(task)
            logits = life.population.predict(x.expand(2, -1, -1))[1]
            assert accuracy == (logits.argmax(-1) == y).double().mean().item()
        assert last[2] > 0.8  # what was learnt last is known
        samples = sum(len(stream.test(task)[0]) for outcome in found for task in outcome.tested)
        assert life.ledger.tests[1] == samples * (64 * 64 + 64 * 64 + 64 * 10)


def test_tests_leave_no_trace_for_agents():
    scenario = find("FivePlusOneDigits-small-v0", tasks=4, updates=20)
    seen = []
    for tests in ("none", "task", "past"):
        life = Lifetime(scenario, EpisodeSettings(tests=tests, boundaries="hidden", compute_cap=10**9))
        life.begin({0: np.random.default_rng(0)})
        codec, trace = Codec(life), []
        for _ in range(8):
            outcome = life.step({0: Plan(budget=10)})[0]
            trace.append(
                (codec.observe(0)["global"].tolist(), codec.info(0, outcome.plan, outcome)["macs"], outcome.macs)
            )
        seen.append(trace)
        assert any(outcome.tests) == (tests != "none")
    assert seen[0] == seen[1] == seen[2]


def test_ledger_counts_training_probes_and_scoring_by_hand():
    life = begun(learner=replace(SMALL, live=0.5), probe_samples=32)
    widths = (64, 8, 6, 10)
    update = 16 * (3 * (64 * 8 + 8 * 6 + 6 * 10) - 64 * 8)
    assert update == 16 * training_macs(life.population.network, widths)
    assert life.ledger.total[0] == 2 * update  # the first probe: 32 samples
    outcome = life.step({0: Plan(Edit(grow=(2, 0)), budget=5)})[0]
    grown = 16 * training_macs(life.population.network, (64, 10, 6, 10))
    assert life.ledger.edits[0] == 32 * 8 * 64  # eight dormant units of the first layer, scored
    assert life.ledger.training[0] == 5 * grown
    assert life.ledger.probes[0] == 2 * update + 2 * grown + 2 * grown  # start, birth, end
    assert outcome.macs == life.ledger.total[0] - 2 * update
    before = life.ledger.total[0]
    life.step({0: Plan(Edit(grow=(1, 1), grow_rule="random"), budget=1)})
    assert life.ledger.edits[0] == 32 * 8 * 64  # chance costs nothing
    assert life.ledger.total[0] > before


def test_compute_cap_truncates_at_the_first_update_beyond_it():
    macs = training_macs(begun().population.network, (64, 16, 12, 10))
    update, probe = 16 * macs, 64 * macs
    life = begun(compute_cap=probe + 7 * update - 1)
    outcome = life.step({0: Plan(budget=20)})[0]
    assert outcome.stop == 7
    assert (outcome.terminated, outcome.truncated) == (False, True)
    with pytest.raises(InvalidEdit, match="is over"):
        life.step({0: Plan()})


def test_divergence_ends_the_episode_and_says_so():
    life = begun(n=2, learner=replace(SMALL, optimizer=SGD(0.1)))
    life.population.state.weights[1] *= 1e200
    outcomes = life.step({0: Plan(budget=10), 1: Plan(budget=10)})
    assert (outcomes[1].terminated, outcomes[1].truncated, outcomes[1].diverged) == (True, False, True)
    assert outcomes[1].accuracy.max() == 0
    assert not outcomes[0].diverged
    assert np.isfinite(life.loss).all()


def test_a_learner_that_has_blown_up_is_not_edited_and_its_outcome_says_so():
    life = begun(n=2, learner=replace(SMALL, live=0.5))
    life.population.state.weights[1] *= 1e200
    edit = Edit(grow=(3, 2), prune=(1, 0), recycle=(1, 1))
    outcomes = life.step(dict.fromkeys(range(2), Plan(edit, budget=4)))
    assert (outcomes[0].plan, outcomes[0].newborns, outcomes[0].live) == (Plan(edit, budget=4), (4, 3), (10, 8))
    assert outcomes[0].birth is not None
    assert (outcomes[1].plan, outcomes[1].newborns, outcomes[1].live) == (Plan(budget=4), (0, 0), (8, 6))
    assert (outcomes[1].birth, outcomes[1].removal, outcomes[1].diverged) == (None, None, True)
    assert life.ledger.edits[1] == 0


def test_divergence_of_one_leaves_the_others_lives_bit_identical():
    settings = replace(SMALL, optimizer=SGD(0.1))
    histories = []
    for sick in (False, True):
        life = begun(n=3, learner=settings)
        if sick:
            life.population.state.weights[1] *= 1e200
        history = []
        while not life.over[[0, 2]].all():
            plan = Plan(Edit(recycle=(2, 2), insertion="fresh"), budget=8)
            plans = {member: plan for member in range(3) if not life.over[member]}
            outcomes = life.step(plans)
            history.append([outcomes[m].loss.tobytes() + outcomes[m].accuracy.tobytes() for m in (0, 2)])
        histories.append((history, life.population.state.weights[[0, 2]].numpy().tobytes()))
    assert histories[0] == histories[1]


def test_budgets_differ_and_no_plan_means_no_change():
    life = begun(n=3)
    idle = life.population.state.weights[1].clone()
    outcomes = life.step({0: Plan(budget=3), 2: Plan(budget=17)})
    assert {member: (o.start, o.stop) for member, o in outcomes.items()} == {0: (0, 3), 2: (0, 17)}
    assert torch.equal(life.population.state.weights[1], idle)
    assert life.position.tolist() == [3, 0, 17]


@pytest.mark.parametrize("budget", [0, -1, 1001, 2.5, True, float("nan"), None])
def test_a_refused_plan_changes_nothing_for_anybody(budget):
    life = begun(n=2)
    before = (life.population.state.weights.numpy().tobytes(), life.position.tolist(), life.ledger.total.tolist())
    legal = Plan(Edit(recycle=(2, 2)), budget=5)
    with pytest.raises(InvalidEdit, match="whole number from 1 to 1000"):
        life.step({0: legal, 1: Plan(budget=budget)})
    with pytest.raises(InvalidEdit, match="grow at most 0"):
        life.step({0: legal, 1: Plan(Edit(grow=(1, 0)))})
    assert (
        life.population.state.weights.numpy().tobytes(),
        life.position.tolist(),
        life.ledger.total.tolist(),
    ) == before


def test_birth_is_measured_before_training():
    life = begun(learner=replace(SMALL, live=0.5))
    life.step({0: Plan(budget=10)})
    outcome = life.step({0: Plan(Edit(grow=(4, 3), insertion="zero_out"), budget=5)})[0]
    assert outcome.newborns == (4, 3)
    assert outcome.birth.comparable.all()
    # no outgoing weights: no gradient at birth, cut at -5; some after training
    assert outcome.birth.log_gradient_parity.tolist() == [-5, -5]
    assert (outcome.end.log_gradient_parity > -5).all()
    assert life.step({0: Plan(budget=1)})[0].birth is None


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"boundaries": "seen"}, UnknownName), ({"max_budget": 0}, InvalidSetting), ({"compute_cap": -5}, InvalidSetting)],
)
def test_settings_that_make_no_sense_are_refused(wrong, error):
    with pytest.raises(error):
        EpisodeSettings(**wrong)


def test_outcomes_tell_what_was_removed():
    life = begun(n=2)
    life.step({0: Plan(budget=10), 1: Plan(budget=10)})
    spent = life.ledger.probes.copy()
    outcomes = life.step({0: Plan(Edit(prune=(4, 0)), budget=1), 1: Plan(Edit(rewind="initial"), budget=1)})
    assert outcomes[0].removal.stability[0] < 1e-12  # what feeds the first layer's survivors has not changed
    assert np.isnan(outcomes[0].removal.stability[1])
    assert outcomes[1].removal is None
    networks = [64 * training_macs(life.population.network, life.population.widths(member)) for member in range(2)]
    np.testing.assert_array_equal(life.ledger.probes - spent, [2 * networks[0], networks[1]])


def test_plasticity_is_measured_when_asked_for_and_charged():
    plain, asked = begun(), begun(plasticity=True)
    outcomes = [life.step({0: Plan(budget=10)})[0] for life in (plain, asked)]
    assert outcomes[0].plasticity is None
    assert 0 < outcomes[1].plasticity < 1
    forward = 64 * forward_macs(asked.population.network, asked.population.widths(0))
    assert asked.ledger.total[0] - plain.ledger.total[0] == forward
    with pytest.raises(InvalidSetting, match="True or False"):
        EpisodeSettings(plasticity=1)


def test_without_ranks_all_else_is_the_same():
    with_, without = begun(), begun(ranks=False)
    ends = [life.step({0: Plan(budget=10)})[0].end for life in (with_, without)]
    for name, values in vars(ends[0]).items():
        if "rank" in name:
            assert (values >= 1).all()
            assert (getattr(ends[1], name) == 0).all()
        else:
            np.testing.assert_array_equal(values, getattr(ends[1], name))


def test_a_probe_is_noted_and_charged():
    life = begun(n=2)
    spent, probe = life.ledger.probes.copy(), life.probe([1])
    assert (probe.members, probe.samples) == ([1], 64)
    macs = 64 * training_macs(life.population.network, (64, 16, 12, 10))
    assert (life.ledger.probes - spent).tolist() == [0, macs]
    assert life.diagnosis.loss[1] == pytest.approx(probe.loss.item())


def test_a_fresh_learner_is_as_plastic_as_a_fresh_learner():
    """The reference network is drawn and trained as any other: on the first task it is the learner itself."""
    learner = replace(SMALL, hidden=(Conv(4, editable=False), 12))
    life = begun(learner=learner)
    outcome = life.step({0: Plan(budget=20)})[0]
    rng = np.random.default_rng(0)
    seeds = rng.integers(2**63, size=2)  # of the stream and of the learner
    fresh = fresh_accuracy(
        life.streams[0], 0, 20, learner, (12,), np.random.default_rng(int(seeds[1])), dtype=torch.float64
    )
    np.testing.assert_array_equal(outcome.accuracy, fresh)
    assert relative_accuracy(outcome.accuracy, fresh) == 1
    narrow = fresh_accuracy(life.streams[0], 0, 20, learner, (3,), np.random.default_rng(0))
    assert relative_accuracy(outcome.accuracy, narrow) == pytest.approx(outcome.accuracy.mean() / narrow.mean())


@pytest.mark.parametrize(("live", "start", "stop"), [((4,), 0, 5), ((4, 4, 4), 0, 5), ((4, 4), 5, 5), ((4, 4), 0, 61)])
def test_impossible_references_are_refused(live, start, stop):
    with pytest.raises(InvalidSetting, match="give 2 numbers of units"):
        fresh_accuracy(SCENARIO.stream(0), start, stop, SMALL, live, np.random.default_rng(0))


@pytest.mark.parametrize(("mine", "fresh", "ratio"), [(0.4, 0.8, 0.5), (0, 0, 1), (0.1, 0, np.inf)])
def test_relative_accuracy_by_hand(mine, fresh, ratio):
    assert relative_accuracy(np.array([mine]), np.array([fresh])) == ratio
