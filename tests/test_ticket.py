"""Final masks, learners that begin with given ones, and what methods reach while editing and by retraining."""

import json
import re
from dataclasses import replace
from pathlib import Path

import helpers
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from plastic_env import Conv, Edit, EpisodeSettings, LearnerSettings, Lifetime, Plan, Population, Start
from plastic_env.agents.structural import NoEdit
from plastic_env.cli import main
from plastic_env.errors import InvalidSetting, UnknownName
from plastic_env.scenarios import find
from plastic_env.study import measures
from plastic_env.study.living import live
from plastic_env.study.report import tickets as ticket_report
from plastic_env.study.results import Result, read_run
from plastic_env.study.runner import Finished, run_study
from plastic_env.study.sweep import Study
from plastic_env.study.ticket import Ticketed, Tickets, TicketStudy, tickets

MASKS = {0: [[5, 2, 11], [9]], 1: [[0], [7, 1, 3, 0, 4, 2, 8, 5, 6]], 2: [range(12), range(10)]}
CONVOLUTIONAL = {"hidden": (Conv(3, editable=False), Conv(5), 8), "inputs": helpers.PICTURE}
SMALL = Study("IidDigits-small-v0", ("dense", "grow", "prune"), (0, 1), {"updates": 8, "tests": "task"})


def masked(masks, seed=0, hidden=(12, 10), inputs=helpers.INPUTS, n=3, **settings):
    made = Population(n, inputs, helpers.CLASSES, LearnerSettings(hidden=hidden, **settings), dtype=torch.float64)
    made.begin({member: np.random.default_rng([seed, member]) for member in range(n)}, masks)
    return made


def dense_parameters(population, member):
    """Weights [units, units below, block] and vectors [rows, units] that a dense learner of that seed begins with."""
    state = population.state
    return [state.layer(state.weights, member, at) for at in range(len(state.units))]


@pytest.mark.parametrize(
    ("masks", "settings"),
    [
        (MASKS, {}),
        (MASKS, {"live": 0.3, "norm": "batch", "activation": "crelu"}),
        ({0: [[4, 1], [7, 3]], 2: [[0], [0]]}, {**CONVOLUTIONAL, "norm": "layer"}),
    ],
)
def test_a_masked_learner_is_what_the_mask_leaves_of_the_dense_learner_of_its_seed(masks, settings):
    found = masked(masks, **settings)
    dense = helpers.population(3, **{"hidden": (12, 10)} | settings | {"live": 1.0})
    for member, mask in masks.items():
        assert found.live_slots(member) == tuple(tuple(sorted(slots)) for slots in mask)
        whole = [range(3)] if "inputs" in settings else []  # the layer that isn't editable
        axes = [range(found.network.input_units), *whole, *map(sorted, mask), range(helpers.CLASSES)]
        for at, (weight, vectors) in enumerate(dense_parameters(dense, member)):
            layer = found.state.layer(found.state.weights, member, at)
            rows, columns = list(axes[at + 1]), list(axes[at])
            assert torch.equal(layer.weight, weight[rows][:, columns])
            assert torch.equal(layer.vectors, vectors[:, rows])


@pytest.mark.parametrize(
    "settings",
    [{}, {"activation": "crelu", "norm": "layer"}, {**CONVOLUTIONAL, "masks": {0: [[4, 1], [7, 3]], 1: [[2], [0]]}}],
)
def test_dormant_units_take_no_part(settings):
    found = masked(**{"masks": MASKS} | settings)
    x, y = helpers.batches(20, 3, inputs=found.network.inputs)
    for _ in range(2):  # at the start and when trained
        outputs = found.predict(x[0])
        for member in range(3):
            plain = helpers.plain_network(found, member)
            torch.testing.assert_close(outputs[member], plain(x[0, member]).detach(), rtol=0, atol=1e-12)
        found.train(x, y)


def test_a_masked_learner_trains_as_a_plain_network_of_its_live_units():
    found = masked(MASKS)
    x, y = helpers.batches(30, 3)
    plain = [helpers.plain_network(found, member) for member in range(3)]
    found.train(x, y)
    for member, network in enumerate(plain):
        optimizer = torch.optim.Adam(network.parameters(), lr=found.settings.optimizer.lr)
        for inputs, labels in zip(x[:, member], y[:, member], strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
        for mine, other in zip(helpers.live_parameters(found, member), network.parameters(), strict=True):
            torch.testing.assert_close(mine.flatten(), other.detach().flatten(), rtol=0, atol=1e-9)


def test_a_full_mask_changes_nothing_and_the_same_seed_gives_the_same_learner():
    full = {member: [range(12), range(10)] for member in range(3)}
    assert helpers.fingerprint(masked(full)) == helpers.fingerprint(helpers.population(3))
    assert helpers.fingerprint(masked(MASKS)) == helpers.fingerprint(masked(MASKS))
    assert not torch.equal(masked(MASKS).state.weights, masked(MASKS, seed=1).state.weights)


def test_masked_learners_can_be_edited_and_units_keep_their_own_ids():
    population = masked(MASKS)
    edits = {0: Edit(grow=(2, 3), grow_rule="random"), 1: Edit(prune=(0, 4), prune_rule="random")}
    population.edit(edits, helpers.probe(population))
    assert population.live(0) == (5, 4)
    assert population.live(1) == (1, 5)
    assert set(population.live_slots(0)[0]) > {2, 5, 11}
    assert set(population.live_slots(1)[1]) < set(range(9))
    ids = [unit for layer in population.state.units[:-1] for unit in layer.of(0).id.tolist()]
    assert len(ids) == len(set(ids)) == 9


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1], []], "in editable layer 1 is .*at least one slot"),
        ([[12], [0]], r"in editable layer 0 is \[12\].*from 0 to 11"),
        ([[-1], [0]], "from 0 to 11"),
        ([[0], [3, 3]], "each once"),
        ([[0], [1.5]], "from 0 to 9"),
        ([[0]], "each of the 2 editable layers"),
        ([[0], [0], [0]], "each of the 2 editable layers"),
        ([[True, False], [0]], "from 0 to 11"),
        ("ab", "each of the 2 editable layers"),
        (7, "each of the 2 editable layers"),
    ],
)
def test_impossible_masks_are_refused_and_change_nothing(mask, message):
    population = helpers.population(2)
    before = helpers.fingerprint(population)
    rngs = {0: np.random.default_rng(0), 1: np.random.default_rng(1)}
    with pytest.raises(InvalidSetting, match=message):
        population.begin(rngs, {1: mask})
    with pytest.raises(InvalidSetting, match=r"names \[1\], but those who begin are \[0\]"):
        population.begin({0: rngs[0]}, {1: [[0], [0]]})
    assert helpers.fingerprint(population) == before
    assert rngs[0].bit_generator.state == np.random.default_rng(0).bit_generator.state


def life(n=2, dtype=torch.float64, **settings):
    scenario = find("PermutedDigits-small-v0", tasks=3, updates=20)
    learner = LearnerSettings(hidden=(16, 12), **settings)
    return Lifetime(scenario, EpisodeSettings(learner, tests="past"), n, dtype=dtype)


def rngs(n=2):
    return {member: np.random.default_rng(member) for member in range(n)}


def test_another_draw_has_the_same_stream_and_other_weights():
    plain, redrawn, again = life(), life(), life()
    plain.begin(rngs())
    redrawn.begin(rngs(), {1: Start(draw=1)})
    again.begin(rngs(), {1: Start(draw=2)})
    for member in range(2):
        assert redrawn.streams[member].seed == plain.streams[member].seed
        one, two, three = (
            torch.cat([part.flatten() for part in helpers.live_parameters(lived.population, member)])
            for lived in (plain, redrawn, again)
        )
        assert torch.equal(one, two) == torch.equal(one, three) == (member == 0)
        assert torch.isclose(one, two).float().mean() == (1 if member == 0 else 0)
        assert torch.equal(two, three) == (member == 0)


def test_a_masked_life_is_taken_up_again_bit_for_bit():
    starts = {0: Start(((3, 7), (1, 2, 11))), 1: Start(draw=1)}
    plans = {member: Plan(budget=15) for member in range(2)}
    through, resumed = life(), life()
    through.begin(rngs(), starts)
    through.step(plans)
    resumed.begin(rngs())  # as unlike as it can be
    resumed.restore(through.capture())
    assert resumed.population.live_slots(0) == ((3, 7), (1, 2, 11))
    for _ in range(3):
        mine, other = through.step(plans), resumed.step(plans)
        for member in range(2):
            assert mine[member].loss.tolist() == other[member].loss.tolist()
            assert mine[member].tests == other[member].tests
    assert helpers.fingerprint(through.population) == helpers.fingerprint(resumed.population)


def test_impossible_starts_are_refused_and_change_nothing():
    lived = life()
    lived.begin(rngs())
    before, mine = helpers.fingerprint(lived.population), rngs()
    with pytest.raises(InvalidSetting, match=r"starts names \[2\]"):
        lived.begin(mine, {2: Start()})
    with pytest.raises(InvalidSetting, match="from 0 to 15"):
        lived.begin(mine, {1: Start(((16,), (0,)))})
    assert helpers.fingerprint(lived.population) == before
    assert mine[0].bit_generator.state == np.random.default_rng(0).bit_generator.state
    for wrong in ({"draw": -1}, {"live_slots": 3}, {"live_slots": (1, 2)}, {"live_slots": ((0.5,),)}):
        with pytest.raises(InvalidSetting, match="give"):
            Start(**wrong)
    assert Start([np.array([3, 1]), [2]]) == Start(((1, 3), (2,)))


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A small study with both kinds of tickets, its folder and its results."""
    folder = tmp_path_factory.mktemp("study")
    found = {weights: tickets(SMALL, folder, weights=weights, show_progress=False) for weights in ("fresh", "rewound")}
    return found, folder, run_study(SMALL, folder, show_progress=False).results


def runs_of(study):
    """By method."""
    return {cell.method: cell.runs for cell in study.cells()}


def test_the_recorded_mask_is_that_of_the_population_at_the_end(studied):
    results = studied[2]
    for runs in runs_of(SMALL).values():
        lived = Lifetime(runs[0].scenario, runs[0].episode, len(runs))
        for _ in live(runs, lived):
            pass
        for member, run in enumerate(runs):
            mask = results[run.method_name][member].mask
            units = [lived.population.state.units[layer].slot[member] for layer in range(2)]
            assert mask == tuple(tuple(sorted(slots[slots >= 0].tolist())) for slots in units)
            assert [len(slots) for slots in mask] == results[run.method_name][member].last("live").tolist()
    assert results["dense"][0].mask == (tuple(range(64)), tuple(range(64)))
    assert results["grow"][0].mask != results["grow"][1].mask
    assert {len(slots) for name in ("grow", "prune") for result in results[name] for slots in result.mask} == {32}


def test_a_rewound_ticket_of_a_dense_run_is_that_run(studied):
    (_, folder, results), made = studied, TicketStudy.of(SMALL, studied[2], "rewound")
    for run, cycle in zip(runs_of(made)["dense/rewound_ticket"], results["dense"], strict=True):
        ticket = read_run(folder, run)
        for name in ("accuracy", "loss", "tests", "macs"):
            assert ticket.rows[name] == cycle.rows[name]
    dense = studied[0]["rewound"].methods["dense"]
    assert dense.ticket_acc.tolist() == dense.cycle_acc.tolist()
    assert dense.ticket_taa.tolist() == dense.cycle_taa.tolist()
    fresh = studied[0]["fresh"].methods["dense"]
    assert fresh.cycle_acc.tolist() == dense.cycle_acc.tolist()
    assert fresh.ticket_taa.tolist() != dense.ticket_taa.tolist()


@pytest.mark.parametrize(("weights", "suffix"), [("fresh", "ticket"), ("rewound", "rewound_ticket")])
def test_tickets_live_unedited_with_the_final_mask(studied, weights, suffix):
    found, folder, results = studied
    cells = runs_of(TicketStudy.of(SMALL, results, weights))
    assert {name: len(runs) for name, runs in cells.items()} == {f"{method}/{suffix}": 2 for method in SMALL.methods}
    for name, runs in cells.items():
        method = name.split("/")[0]
        for at, run in enumerate(runs):
            cycle, ticket = results[method][at], read_run(folder, run)
            assert ticket.mask == run.start.live_slots == cycle.mask
            assert set(map(tuple, ticket.rows["live"])) == {tuple(map(len, cycle.mask))}
            assert isinstance(run.method.make(), NoEdit)
            assert run.id.startswith(f"{method}_{suffix}-seed00{at}-")
            assert measures.checkpoint_accuracy(ticket).shape == (5,)
            by_hand = [row[0] for row in ticket.rows["tests"] if row]
            assert found[weights].methods[method].ticket_acc[at] == by_hand[-1]
            assert found[weights].methods[method].ticket_taa[at] == pytest.approx(np.mean(by_hand))
    files = [path.name for path in folder.glob(f"grow_{suffix}-*.parquet")]
    assert len(files) == 2
    assert (folder / f"cycle_{suffix}.png").stat().st_size > 5000


def test_a_rewound_ticket_begins_with_the_weights_of_the_run_and_sees_its_batches(studied):
    run = runs_of(TicketStudy.of(SMALL, studied[2], "rewound"))["prune/rewound_ticket"][1]
    pruned = runs_of(SMALL)["prune"][1]
    lives = [Lifetime(run.scenario, run.episode) for _ in range(2)]
    for lived, which in zip(lives, (pruned, run), strict=True):
        lived.begin({0: np.random.default_rng(which.seed)}, {0: which.start})
    first, ticket = lives
    assert torch.equal(first.streams[0].batches(0, 3)[0], ticket.streams[0].batches(0, 3)[0])
    rows, columns = (list(slots) for slots in reversed(run.start.live_slots))
    whole = first.population.state.layer(first.population.state.weights, 0, 1).weight
    kept = ticket.population.state.layer(ticket.population.state.weights, 0, 1).weight
    assert torch.equal(kept, whole[rows][:, columns])


def test_tickets_that_are_finished_are_read(studied):
    found, folder, _ = studied
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    again = tickets(SMALL, folder, show_progress=False)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")} == before
    assert repr(again.methods) == repr(found["fresh"].methods)


def test_the_same_mask_and_seed_give_the_same_ticket_bit_for_bit(studied, tmp_path):
    runs = runs_of(TicketStudy.of(SMALL, studied[2]))["grow/ticket"]
    for lived in (tmp_path / "a", tmp_path / "b"):
        run_study(TicketStudy.of(replace(SMALL, methods=("grow",)), {"grow": studied[2]["grow"]}), lived)
    for run in runs:
        one, other, here = (read_run(folder, run) for folder in (tmp_path / "a", tmp_path / "b", studied[1]))
        assert one.rows["loss"] == other.rows["loss"] == here.rows["loss"]


def test_runs_that_failed_have_no_ticket(studied):
    results = {"grow": studied[2]["grow"][1:], "prune": []}
    cells = runs_of(TicketStudy.of(SMALL, results))
    assert {name: [run.seed for run in runs] for name, runs in cells.items()} == {"grow/ticket": [1]}


def test_studies_that_cannot_be_compared_are_refused(tmp_path):
    with pytest.raises(InvalidSetting, match="tests='none'"):
        tickets(replace(SMALL, settings={"updates": 8}), tmp_path)
    with pytest.raises(InvalidSetting, match="no test samples"):
        tickets(Study("RandomLabelDigits-small-v0", ("dense",), (0,), {"tests": "past"}), tmp_path)
    with pytest.raises(UnknownName, match="fresh, rewound"):
        tickets(SMALL, tmp_path, weights="old")
    assert not list(tmp_path.iterdir())


def checked(*tests, stops=(5, 10, 15), diverged=False, kind="past"):
    rows = {"stop": list(stops), "tests": list(tests), "diverged": [*[False] * (len(stops) - 1), diverged]}
    return Result({"updates": 15, "shifts": [5, 10], "seed": 0, "episode": {"tests": kind}}, rows)


def test_accuracy_at_checkpoints_by_hand():
    nan = float("nan")
    past = checked([0.5], [0.4, 0.8], [0.2, 0.4, 0.9])
    assert measures.checkpoint_accuracy(past).tolist() == pytest.approx([0.5, 0.6, 0.5])
    between = checked([], [0.5], [0.6], [], [0.7], stops=(2, 5, 10, 12, 15))  # most steps end within a task
    assert measures.checkpoint_accuracy(between).tolist() == [0.5, 0.6, 0.7]
    some = checked([nan], [nan, 0.8], [nan, 0.4, 0.8])
    assert measures.checkpoint_accuracy(some).tolist() == pytest.approx([0.8, 0.6])
    early = checked([0.5], [], stops=(5, 7), diverged=True)
    assert measures.checkpoint_accuracy(early).tolist() == [0.5, 0, 0]
    np.testing.assert_allclose(measures.acc_taa([past, some, early]), [[0.5, 1.6 / 3], [0.6, 0.7], [0, 0.5 / 3]])
    for nothing in (
        checked([nan], [nan], [nan]),
        checked([], [], []),
        checked([], [], stops=(5, 7), diverged=True, kind="none"),
    ):
        with pytest.raises(InvalidSetting, match="Nothing was tested"):
            measures.checkpoint_accuracy(nothing)


def test_cycle_against_ticket_by_hand():
    point = measures.cycle_ticket(
        [checked([0.1], [0.2], [0.4])] * 2, [checked([0.1], [0.2], [score]) for score in (0.5, 0.7)]
    )
    assert point.cycle == (0.4, 0.4, 0.4)
    assert point.ticket == (pytest.approx(0.6), 0.5, 0.7)


def test_tables_by_hand():
    seeds = np.arange(2)
    one = Ticketed(
        seeds, *(np.array(pair) for pair in ([0.5, 0.7], [0.4, 0.4], [0.6, 0.9], [0.5, 0.5], [8, 9.0])), (0, 0)
    )
    other = replace(one, seeds=np.array([1, 2]), cycle_acc=np.array([0.6, 0.1]))
    table = ticket_report.as_table({"a": one, "b": other})
    rows = [line.split("  ") for line in table.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[2] == [
        *("a", "8.5", "ACC", "0.600 [0.500, 0.700]", "0.750 [0.600, 0.900]"),
        "+0.150 [+0.100, +0.200]",
    ]
    assert cells[3][2:] == ["TAA", "0.400 [0.400, 0.400]", "0.500 [0.500, 0.500]", "+0.100 [+0.100, +0.100]"]
    # only seed 1 is in both: .7 - .6, and .9 - .6, where b's first ticket is that of seed 1
    assert cells[9] == ["a - b", "ACC", "+0.100 [one seed]", "-", "+0.300 [one seed]", "-"]
    alone = ticket_report.as_table({"a": one})
    assert "difference" not in alone
    found = ticket_report.as_json("x", "fresh", {"a": one})
    assert json.loads(json.dumps(found))["methods"]["a"]["ticket_acc"] == [0.6, 0.9]


def test_what_went_wrong_is_told():
    one = Ticketed(np.arange(1), *[np.zeros(1)] * 4, width=np.ones(1), diverged=(1, 0))
    finished = Finished(SMALL, (), Path("x"), {})
    found = Tickets({"a": one, "b": replace(one, diverged=(0, 0))}, {("c", 3): "no idea"}, Path("x.png"), finished)
    assert found.complaints == [
        "c failed with seed 3: no idea",
        "a: 1 learner(s) and 0 ticket(s) diverged, and count 0 from then.",
    ]


def test_the_example_of_its_page_runs(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parent.parent / "docs" / "results" / "cycle_and_ticket.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(compile(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], "cycle_and_ticket.md", "exec"), {})
    assert re.fullmatch(r"grow \[.*\]\nprune \[.*\]\n", capsys.readouterr().out)


def test_from_the_command_line(tmp_path, capsys):
    command = ["ticket", "--set", "updates=5", "tasks=2", "--methods", "dense,prune", "--seeds", "2", "--threads", "1"]
    command += ["--out", str(tmp_path)]
    assert main([*command, "--weights", "rewound"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines()[3:7]] == [
        [name, width, score] for name, width in (("dense", "64.0"), ("prune", "32.0")) for score in ("ACC", "TAA")
    ]
    assert "+0.000 [+0.000, +0.000]" in out.splitlines()[3]
    assert "dense - prune" in out
    assert f"picture: {tmp_path}/cycle_rewound_ticket.png" in out
    assert main([*command, "--weights", "rewound", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == "rewound"
    assert found["methods"]["dense"]["ticket_taa"] == found["methods"]["dense"]["cycle_taa"]
    ticket = next(tmp_path.glob("prune_rewound_ticket-seed001-*.parquet"))
    settings = json.loads(pq.read_schema(ticket).metadata[b"plastic_env"])
    assert settings["method"] == "prune/rewound_ticket"
    assert settings["start"] == {"type": "Start", "live_slots": settings["live_slots"], "draw": 0}
    tuned = [*command, "--methods", "dense", "--tune", "lr=1e-9,0.01", "--tune-seeds", "7-7"]
    assert main(tuned) == 0
    assert "note:    dense has lr=0.01: TAOA " in capsys.readouterr().out
    assert main([*command, "--seeds", "0"]) == 2
    assert "--seeds is 0" in capsys.readouterr().err
