"""Edits as transactions: what they change, what they refuse, and that the bookkeeping always adds up."""

from dataclasses import replace
from itertools import pairwise

import helpers
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plastic_env import SGD, Adam, Edit
from plastic_env.errors import InvalidEdit, UnknownName
from plastic_env.learner.edits import KINDS, REWINDS, clip_edit
from plastic_env.learner.insertion import INSERTIONS, Fresh
from plastic_env.learner.probing import diagnose
from plastic_env.learner.selection import GROW_RULES, PRUNE_RULES
from plastic_env.learner.trainability import TRAINABILITY
from plastic_env.learner.transfer import OPTIMIZER_STATES

REFUSED = {
    "more than dormant": (Edit(grow=(7, 0)), "grow at most 6"),
    "a layer to nothing": (Edit(prune=(0, 5)), "prune at most 4"),
    "recycle more than left": (Edit(prune=(2, 0), recycle=(5, 0)), "has 4 after pruning"),
    "wrong shape": (Edit(grow=(1, 1, 1)), "give 2 whole numbers"),
    "one number": (Edit(grow=3), "give 2 whole numbers"),  # type: ignore[arg-type]
    "not a number": (Edit(grow=(float("nan"), 0)), "give 2 whole numbers"),  # type: ignore[arg-type]
    "a fraction": (Edit(prune=(0.5, 0)), "give 2 whole numbers"),  # type: ignore[arg-type]
    "a truth value": (Edit(prune=(True, 0)), "give 2 whole numbers"),
    "negative": (Edit(recycle=(-1, 0)), "none negative"),
    "unknown grow rule": (Edit(grow=(1, 0), grow_rule="activaton"), "Did you mean 'activation'"),
    "unknown prune rule": (Edit(prune=(1, 0), prune_rule="taylr"), "Known: magnitude"),
    "unknown recycle rule": (Edit(recycle=(1, 0), recycle_rule="utilty"), "Did you mean 'utility'"),
    "unknown insertion": (Edit(grow=(1, 0), insertion="zero"), "Did you mean 'zero_out'"),
    "switch that is no switch": (Edit(reset="yes"), "give True or False"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_edit_changes_nothing(name):
    edit, message = REFUSED[name]
    population = trained(live=0.5)
    before, probe = helpers.fingerprint(population), helpers.probe(population)
    # the edits of the others are legal, and draw random numbers, yet nothing of them may happen
    legal = Edit(grow=(2, 2), grow_rule="random", insertion="fresh")
    with pytest.raises((InvalidEdit, UnknownName), match=message):
        population.edit({0: legal, 1: edit, 2: legal}, probe)
    assert helpers.fingerprint(population) == before


@pytest.mark.parametrize(
    ("insertion", "optimizer_state", "optimizer", "left"),
    [
        ("gradmax", "transplant", Adam(0.003), ("dormant", "transplant")),
        ("net2wider", "transplant", SGD(0.1), ("net2wider", "fresh")),
        ("gradmax", "transplant", SGD(0.1), ("dormant", "fresh")),
        ("gradmax", "reset", SGD(0.1), ("dormant", "reset")),
    ],
)
def test_clip_keeps_rules_that_make_sense(insertion, optimizer_state, optimizer, left):
    population = helpers.population(live=0.5, optimizer=optimizer)  # relu: gradmax makes no sense
    asked = Edit(grow=(1, 1), insertion=insertion, optimizer_state=optimizer_state)
    edit = clip_edit(asked, population.state, 0, population.activation)
    assert (edit.insertion, edit.optimizer_state) == left


@pytest.mark.parametrize(("optimizer_state", "optimizer"), [("fresh", Adam(0.003)), ("transplant", SGD(0.1))])
def test_clip_leaves_donors_out_where_nothing_is_transplanted(optimizer_state, optimizer):
    population = helpers.population(live=0.5, optimizer=optimizer)
    asked = Edit(grow=(1, 0), optimizer_state=optimizer_state, donors=((3,), ()))
    edit = clip_edit(asked, population.state, 0, population.activation)
    assert (edit.optimizer_state, edit.donors) == ("fresh", ())


class Fails(Fresh):
    settles = True

    def settle(self, layer):
        layer.below.weight[:] = 0
        raise RuntimeError("out of luck")


def test_failure_half_way_changes_nothing():
    population = trained(live=0.5)
    before, probe = helpers.fingerprint(population), helpers.probe(population)
    edit = Edit(grow=(1, 1), grow_rule="random", insertion=Fails(), store=True)
    with pytest.raises(RuntimeError, match="out of luck"):
        population.edit({0: replace(edit, insertion="fresh"), 1: edit}, probe)
    assert helpers.fingerprint(population) == before


def test_selection_without_a_probe_is_refused():
    population = trained()
    before = helpers.fingerprint(population)
    with pytest.raises(InvalidEdit, match="give a probe"):
        population.edit({0: Edit(prune=(1, 0))})
    assert helpers.fingerprint(population) == before


def test_clip_keeps_what_is_possible():
    population = helpers.population(hidden=(8, 10), live=0.5)
    asked = Edit(grow=(9, 9), prune=(9, 1), recycle=(9, 9))
    edit = clip_edit(asked, population.state, 0, population.activation)
    assert (edit.prune, edit.recycle, edit.grow) == ((3, 1), (1, 4), (7, 6))


def test_growing_takes_the_most_active_dormant_units():
    population = trained(n=1, live=0.5)
    probe = helpers.probe(population)
    below, inputs = population.state.initial[0], probe.inputs[0][0]
    activity = (torch.relu(inputs @ below.weight[0].T + below.bias[0]) > 0.05).double().mean(0)[6:]  # slots 6 .. 11
    best = 6 + np.argsort(-activity.numpy(), kind="stable")[:2]
    population.edit({0: Edit(grow=(2, 0))}, probe)
    np.testing.assert_array_equal(population.state.units_of(0)[0].slot[6:], best)


def test_growing_above_a_layer_measures_through_its_live_units_only():
    population = trained(n=1, live=0.5)
    probe = helpers.probe(population)
    wiring, h = population.state.initial[1], probe.inputs[1][0, :, :6]
    activity = (torch.relu(h @ wiring.weight[0, :, :6].T + wiring.bias[0]) > 0.05).double().mean(0)[5:]
    best = 5 + np.argsort(-activity.numpy(), kind="stable")[:3]
    population.edit({0: Edit(grow=(0, 3))}, probe)
    np.testing.assert_array_equal(population.state.units_of(0)[1].slot[5:], best)


def test_pruning_removes_the_smallest_incoming_weights():
    population = trained(n=1)
    size = helpers.live_parameters(population, 0)[0].abs().mean(1)
    weakest = set(size.argsort()[:4].tolist())
    population.edit({0: Edit(prune=(4, 0))}, helpers.probe(population))
    assert set(range(12)) - set(population.state.units_of(0)[0].slot.tolist()) == weakest


def test_recycling_replaces_the_least_useful_in_place():
    population = trained(n=1)
    probe = helpers.probe(population)
    outgoing = helpers.live_parameters(population, 0)[2].abs().sum(0)
    utility = probe.inputs[1][0].abs().mean(0)[:12] * outgoing
    weakest = utility.argsort()[:3].numpy()
    before = population.state.units_of(0)[0]
    population.edit({0: Edit(recycle=(3, 0), insertion="fresh")}, probe)
    after = population.state.units_of(0)[0]
    np.testing.assert_array_equal(after.slot, before.slot)
    np.testing.assert_array_equal(np.flatnonzero(after.id != before.id), np.sort(weakest))
    assert (after.born[weakest] == population.state.updates[0]).all()
    assert (after.cohort[weakest] == 1).all()


def test_recycling_after_pruning_scores_those_that_stay():
    population = trained(n=1)
    probe = helpers.probe(population)
    worth = torch.tensor([5.0, 1, 9, 2, 8, 3, 7, 4, 6, 10, 12, 11], dtype=torch.float64)[None]
    rules = {"prune_rule": lambda view: -worth, "recycle_rule": lambda view: worth}
    population.edit({0: Edit(prune=(2, 0), recycle=(3, 0), insertion="fresh", **rules)}, probe)
    units = population.state.units_of(0)[0]
    assert units.slot.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]  # slots 10 and 11 were pruned
    assert np.flatnonzero(units.cohort).tolist() == [1, 3, 5]  # worth 1, 2 and 3


@pytest.mark.parametrize("insertion", ["fresh", "zero_out"])
def test_dormant_units_above_keep_what_they_wait_with(insertion):
    population = trained(n=1, live=0.5)
    before = population.state.initial[1].weight[0].clone()
    population.edit({0: Edit(recycle=(4, 0), insertion=insertion)}, helpers.probe(population))
    after = population.state.initial[1].weight[0]
    assert torch.equal(after[5:], before[5:])
    if insertion == "zero_out":
        newborn = np.flatnonzero(population.state.units_of(0)[0].cohort)
        assert helpers.live_parameters(population, 0)[2][:, newborn].abs().max() == 0
        assert torch.equal(after, before)  # rewinding does not return to zeros


def test_a_resets_units_are_founders():
    population = trained(n=1)
    population.edit({0: Edit(recycle=(2, 2))}, helpers.probe(population))
    population.edit({0: Edit(reset=True)})
    found = diagnose(helpers.probe(population))
    assert found.newborn.max() == 0
    assert not found.comparable.any()


def test_counts_may_be_arrays():
    population = trained(n=1)
    population.edit({0: Edit(prune=np.array([1, 2]))}, helpers.probe(population))
    assert population.live(0) == (11, 8)


def test_newborns_enter_with_their_initial_weights_and_empty_moments():
    population = trained(n=1, live=0.5, optimizer=Adam(0.01))
    population.edit({0: Edit(grow=(2, 1))}, helpers.probe(population))
    slots = [units.slot for units in population.state.units_of(0)]
    weight, bias, above, *_ = helpers.live_parameters(population, 0)
    initial = population.state.initial
    torch.testing.assert_close(weight[6:], initial[0].weight[0, slots[0][6:]], rtol=0, atol=0)
    torch.testing.assert_close(bias[6:], initial[0].bias[0, 0, slots[0][6:]], rtol=0, atol=0)
    torch.testing.assert_close(above[:, 6:], initial[1].weight[0][slots[1]][:, slots[0][6:]], rtol=0, atol=0)
    for flat in population.state.moments:
        m, mb, m_above, *_ = helpers.live_parameters(population, 0, flat)
        assert m[6:].abs().max() == mb[6:].abs().max() == m_above[:, 6:].abs().max() == 0
        assert m[:6].abs().max() > 0


def test_zero_out_preserves_the_function_and_dormant_does_not():
    for insertion, preserved in (("zero_out", True), ("dormant", False), ("fresh", False)):
        population = trained(live=0.5)
        before = logits(population)
        grow = Edit(grow=(6, 5), grow_rule="random", insertion=insertion)
        population.edit({1: grow}, helpers.probe(population))
        torch.testing.assert_close(logits(population)[[0, 2]], before[[0, 2]], rtol=0, atol=1e-12)
        assert (
            (logits(population)[1] - before[1]).abs().max() < 1e-12
            if preserved
            else not torch.allclose(logits(population)[1], before[1], atol=1e-3)
        )


def test_fresh_draws_become_the_initial_weights():
    population = trained(n=1)
    before = population.state.initial[0].weight[0].clone()
    population.edit({0: Edit(recycle=(2, 0), recycle_rule="oldest", insertion="fresh")}, helpers.probe(population))
    initial = population.state.initial[0].weight[0]
    torch.testing.assert_close(helpers.live_parameters(population, 0)[0][:2], initial[:2], rtol=0, atol=0)
    assert not torch.equal(initial[:2], before[:2])
    assert torch.equal(initial[2:], before[2:])


def test_rewinding_returns_survivors_and_head_to_their_initial_weights():
    population = trained(n=2, optimizer=Adam(0.01))
    untouched = helpers.live_parameters(population, 1)
    ids = population.state.units_of(0)[0].id
    population.edit({0: Edit(prune=(3, 2), prune_rule="youngest", rewind="initial")}, helpers.probe(population))
    axes = [np.arange(helpers.INPUTS), *(units.slot for units in population.state.units_of(0))]
    for at, (below, above) in enumerate(pairwise(axes)):
        weight, bias = helpers.live_parameters(population, 0)[2 * at : 2 * at + 2]
        torch.testing.assert_close(weight, population.state.initial[at].weight[0][above][:, below], rtol=0, atol=0)
        torch.testing.assert_close(bias, population.state.initial[at].bias[0, 0, above], rtol=0, atol=0)
    assert all(flat[0].abs().max() == 0 for flat in population.state.moments)
    np.testing.assert_array_equal(population.state.units_of(0)[0].id, ids[:9])  # they are still the same units
    for mine, before in zip(helpers.live_parameters(population, 1), untouched, strict=True):
        torch.testing.assert_close(mine, before, rtol=0, atol=0)


def test_rewound_learner_trains_like_a_new_one():
    """Adam's clocks restart too: the same batches lead to the same weights as the first time."""
    population = helpers.population(n=1, optimizer=Adam(0.01))
    x, y = helpers.batches(50, 1)
    population.train(x, y)
    first = helpers.live_parameters(population, 0)
    population.edit({0: Edit(rewind="initial")})
    population.train(x, y)
    for mine, before in zip(helpers.live_parameters(population, 0), first, strict=True):
        torch.testing.assert_close(mine, before, rtol=0, atol=1e-12)


def test_reset_draws_everything_anew_and_keeps_the_width():
    population = trained(n=2, live=0.5, optimizer=Adam(0.01))
    before, initial = helpers.live_parameters(population, 0), population.state.initial[0].weight[0].clone()
    population.edit({0: Edit(reset=True)})
    assert population.live(0) == (6, 5)
    assert not torch.equal(population.state.initial[0].weight[0], initial)
    for mine, old in zip(helpers.live_parameters(population, 0), before, strict=True):
        assert not torch.equal(mine, old)
    assert all(flat[0].abs().max() == 0 for flat in population.state.moments)
    assert all((units.born == population.state.updates[0]).all() for units in population.state.units_of(0)[:-1])


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_legal_edits_keep_everything_consistent(data):
    optimizer = data.draw(st.sampled_from([SGD(0.05), SGD(0.05, momentum=0.9), Adam(0.01)]))
    population = helpers.population(n=2, live=data.draw(st.sampled_from([0.1, 0.5, 1.0])), optimizer=optimizer)
    history = [(set(), set()), (set(), set())]
    for turn in range(data.draw(st.integers(1, 6))):
        edits_by_member = {m: draw_edit(data, population, m) for m in range(2)}
        expected = [expected_live(population.live(m), edit) for m, edit in edits_by_member.items()]
        population.edit(edits_by_member, helpers.probe(population, seed=turn))
        assert [population.live(m) for m in range(2)] == expected
        check_consistent(population, history)
        if data.draw(st.booleans()):
            population.train(*helpers.batches(3, 2, seed=turn))
            check_consistent(population, history)


@settings(max_examples=25)
@given(
    grow=st.tuples(st.integers(0, 6), st.integers(0, 5)),
    rule=st.sampled_from(sorted(GROW_RULES)),
    insertion=st.sampled_from(["dormant", "fresh", "zero_out"]),  # the others change incumbents, too
)
def test_pruning_the_newborns_restores_the_forward_map(grow, rule, insertion):
    population = trained(n=2, live=0.5)
    before = logits(population)
    population.edit({0: Edit(grow=grow, grow_rule=rule, insertion=insertion)}, helpers.probe(population))
    population.edit({0: Edit(prune=grow, prune_rule="youngest")}, helpers.probe(population))
    assert population.live(0) == (6, 5)
    torch.testing.assert_close(logits(population), before, rtol=0, atol=1e-12)


def trained(n=3, live=1.0, optimizer=None):
    population = helpers.population(n, live=live, optimizer=optimizer or SGD(0.1))
    population.train(*helpers.batches(25, n))
    return population


def logits(population):
    x, _ = helpers.batches(1, len(population), 16, seed=7)
    return population.predict(x[0])


def draw_edit(data, population, member):
    live, capacity = population.live(member), population.capacity
    prune = tuple(data.draw(st.integers(0, units - 1)) for units in live)
    left = [units - gone for units, gone in zip(live, prune, strict=True)]
    recycle = tuple(data.draw(st.integers(0, units)) for units in left)
    grow = tuple(data.draw(st.integers(0, slots - units)) for slots, units in zip(capacity, left, strict=True))
    edit = Edit(
        grow=grow,
        prune=prune,
        recycle=recycle,
        grow_rule=data.draw(st.sampled_from(sorted(GROW_RULES))),
        prune_rule=data.draw(st.sampled_from(sorted(PRUNE_RULES))),
        recycle_rule=data.draw(st.sampled_from(sorted(PRUNE_RULES))),
        insertion=data.draw(st.sampled_from(sorted(INSERTIONS))),
        optimizer_state=data.draw(st.sampled_from(sorted(OPTIMIZER_STATES))),
        trainability=data.draw(st.sampled_from(sorted(TRAINABILITY))),
        transfer_bias=data.draw(st.booleans()),
        store=data.draw(st.booleans()),
        rewind=data.draw(st.sampled_from(sorted(REWINDS))),
        reset=data.draw(st.booleans()),
    )
    # rules that make no sense here are refused (tested elsewhere); counts are legal as they are
    possible = clip_edit(edit, population.state, member, population.activation)
    assert [possible.counts(kind, 2) for kind in KINDS] == [edit.counts(kind, 2) for kind in KINDS]
    return possible


def expected_live(live, edit):
    return tuple(u - p + g for u, p, g in zip(live, edit.prune, edit.grow, strict=True))


def check_consistent(population, history):
    state = population.state
    assert state.weights.shape == (len(population), state.layout.size)
    assert all(flat.shape == state.weights.shape for flat in state.moments)
    assert len(state.moments) == population.settings.optimizer.moments
    for member in range(len(population)):
        *layers, head = state.units_of(member)
        assert head.slot.tolist() == list(range(helpers.CLASSES))
        assert (head.clock >= state.restarted[member]).all()
        ids = np.concatenate([units.id for units in layers])
        assert len(set(ids.tolist())) == len(ids)
        assert ids.max() < state.ids[member]
        present, gone = history[member]
        gone |= present - set(ids.tolist())
        assert not gone & set(ids.tolist())  # no id comes back
        history[member] = (set(ids.tolist()), gone)
        for units, slots in zip(layers, population.capacity, strict=True):
            assert 1 <= len(units) <= slots
            assert len(set(units.slot.tolist())) == len(units)
            assert (units.slot >= 0).all()
            assert (units.slot < slots).all()
            assert (units.clock >= state.restarted[member]).all()
            assert (units.clock <= state.updates[member]).all()
            assert (units.cohort < state.cohorts[member]).all()
        for flat in (state.weights, *state.moments):
            helpers.check_padding(population, member, flat)
