"""The page about a folder of results: its numbers, its structure, what it tells of failures, what it refuses."""

import base64
import itertools
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from plastic_env import SGD, LearnerSettings
from plastic_env.agents import METHODS, Method
from plastic_env.agents.structural import Dense, Recycle
from plastic_env.cli import main
from plastic_env.errors import FileError
from plastic_env.study.folder import read_folder
from plastic_env.study.report import Asked, origin, write_report
from plastic_env.study.report.markup import Html, element, joined
from plastic_env.study.report.tables import si
from plastic_env.study.results import read_result
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

HOSTILE = '<b>&"x'  # a method's name
QUESTION = "Does <recycling> help & whom?"
SCENARIO = "PermutedDigits-small-v0"
SEEDS = (0, 1, 2, 3)
VOID = {"meta", "img", "br"}


class Broken:
    def reset(self, episode, seed):
        raise RuntimeError("no <idea>")

    def act(self, observation, info):
        raise NotImplementedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four methods on a scenario at two strengths; one fails, one diverges."""
    where = tmp_path_factory.mktemp("results")
    methods = {
        HOSTILE: Method("", Recycle),
        "broken": Method("", Broken),
        "wild": Method("", Dense, LearnerSettings(optimizer=SGD(1e9))),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, method in methods.items():
            patch.setitem(METHODS, name, method)
        for strength, names in ((1.0, ("dense", *methods)), (0.5, ("dense", HOSTILE))):
            changes = (("tasks", 5), ("updates", 20), ("strength", strength))
            run_study(Study(SCENARIO, names, SEEDS, changes), where, show_progress=False)
    return where


@pytest.fixture(scope="module")
def text(folder, tmp_path_factory):
    """The page, by the command line."""
    where = tmp_path_factory.mktemp("page") / "new" / "report.html"
    assert main(["report", str(folder), "--question", QUESTION, "--out", str(where)]) == 0
    return where.read_text(encoding="utf-8")


@dataclass
class Table:
    heads: list
    rows: list  # of cells: pairs of text and data-value


class Reader(HTMLParser):
    """Balance, attributes, tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.tables, self.cell, self.texts = [], [], [], None, {}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append(Table([], []))
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append(["", dict(attrs).get("data-value")])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> too many"
        assert self.open.pop() == tag
        if tag == "thead":
            self.tables[-1].heads = [cell[0] for cell in self.tables[-1].rows.pop()]

    def handle_data(self, data):
        self.texts[self.open[-1] if self.open else ""] = self.texts.get(self.open[-1] if self.open else "", "") + data
        if {"td", "th"} & set(self.open):
            self.tables[-1].rows[-1][-1][0] += data


@pytest.fixture(scope="module")
def page(text):
    return Reader(text)


def column(table, name, at=0):
    """The numbers of a column, by method."""
    place = [at for at, head in enumerate(table.heads) if head == name][at]
    return {row[0][0]: float(row[place][1]) if row[place][1] else np.nan for row in table.rows}


def raw(folder, method, strength):
    """[seeds, updates] accuracy, and the files' other columns, with nothing but pyarrow."""
    found = {}
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        settings = json.loads(table.schema.metadata[b"plastic_env"])
        if (settings["method"], settings["stream"]["strength"]) == (method, strength):
            found[settings["seed"]] = table.to_pydict()
    assert sorted(found) == list(SEEDS)
    columns = [found[seed] for seed in SEEDS]
    return np.array([np.concatenate(each["accuracy"]) for each in columns]), columns


def with_head(page, name):
    return [table for table in page.tables if name in table.heads]


def test_summary_holds_the_numbers_of_the_files(folder, page):
    weak, strong = with_head(page, "TAOA")
    for table, strength in ((weak, 0.5), (strong, 1.0)):
        for method in ("dense", HOSTILE):
            accuracy, columns = raw(folder, method, strength)
            tasks = accuracy.reshape(4, 5, 20).mean(2)
            expected = {
                "TAOA": accuracy.mean(),
                "IQM": np.sort(accuracy.mean(1))[1:3].mean(),
                "first fifth": accuracy[:, :20].mean(),
                "last fifth": accuracy[:, 80:].mean(),
                "loss": (accuracy[:, :20] - accuracy[:, 80:]).mean(),
                "slope ‰": 1000 * np.mean([np.polyfit(range(5), seed, 1)[0] for seed in tasks]),
                "width": 64,
                "MACs": np.mean([sum(each["macs"]) for each in columns]),
                "runs": 4,
            }
            for name, value in expected.items():
                assert column(table, name)[method] == pytest.approx(value, abs=1e-12), name
    assert column(strong, "x dense")["dense"] == 1
    runs = {row[0][0]: row[strong.heads.index("runs")][0] for row in strong.rows}
    assert runs == {"dense": "4", HOSTILE: "4", "wild": "44 diverged", "broken": "04 failed"}


def test_differences_hold_the_numbers_of_independent_tests(folder, page):
    _, table = with_head(page, "Welch p")
    taoa = {name: np.zeros(4) for name in ("wild",)} | {n: raw(folder, n, 1.0)[0].mean(1) for n in ("dense", HOSTILE)}
    taoa["wild"] = np.array([np.sum(np.concatenate(each["accuracy"])) / 100 for each in wild_rows(folder)])
    welch, flips = {}, {}
    for name in (HOSTILE, "wild"):
        gaps = taoa[name] - taoa["dense"]
        assert column(table, "difference")[name] == pytest.approx(gaps.mean())
        won = np.sign(taoa[name][:, None] - taoa["dense"]).mean()
        assert column(table, "P(improvement)")[name] == pytest.approx((won + 1) / 2)
        welch[name] = stats.ttest_ind(taoa[name], taoa["dense"], equal_var=False).pvalue
        means = np.array([np.mean(gaps * signs) for signs in itertools.product((1, -1), repeat=4)])
        flips[name] = np.mean(np.abs(means) >= abs(gaps.mean()) - 1e-12)
    for head, at, expected in (("Welch p", 0, welch), ("sign-flip p", 1, flips)):
        assert column(table, head) == pytest.approx(expected)
        low, high = sorted(expected, key=expected.get)
        corrected = {low: min(1, 2 * expected[low])}
        corrected[high] = max(corrected[low], expected[high])
        assert column(table, "Holm", at) == pytest.approx(corrected)
    assert set(column(table, "pairs").values()) == {4}


def wild_rows(folder):
    return [pq.read_table(path).to_pydict() for path in sorted(folder.glob("wild-*.parquet"))]


def test_equal_budgets_by_summing_up(folder, page):
    weak, _ = with_head(page, "at equal MACs")
    spent = {}
    for method in ("dense", HOSTILE):
        accuracy, columns = raw(folder, method, 0.5)
        counts = [np.subtract(each["stop"], each["start"]) for each in columns]
        macs = np.array([np.repeat(np.divide(each["macs"], n), n) for each, n in zip(columns, counts, strict=True)])
        spent[method] = accuracy, macs
    budget = min(macs.sum(1).min() for _, macs in spent.values())
    for method, (accuracy, macs) in spent.items():
        scores = []
        for hits, costs in zip(accuracy, macs, strict=True):
            left, share = budget, np.zeros(100)
            for update in range(100):
                share[update] = min(1, left / costs[update])
                left -= share[update] * costs[update]
            scores.append((hits * share).sum() / share.sum())
        assert column(weak, "at equal MACs")[method] == pytest.approx(np.mean(scores))
        assert column(weak, "at equal updates")[method] == pytest.approx(accuracy.mean())
    # 64 pixels to 64 to 64 units to 10 classes
    assert column(weak, "mean live parameters")["dense"] == 64 * 65 + 64 * 65 + 10 * 65


def test_structure(page, text):
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert page.texts["h1"] == QUESTION
    titles = page.texts["h2"]
    assert "All scenarios" in titles
    assert f"{SCENARIO} (strength=0.5)" in titles
    assert f"{SCENARIO} (strength=1.0)" in titles
    assert all(value for tag, name, value in page.attributes if (tag, name) == ("img", "alt"))


def test_it_needs_nothing_else(page, text):
    loaded = [value for _, name, value in page.attributes if name in ("src", "srcset", "data", "action", "poster")]
    assert len(loaded) == 2 + 2 * 12  # heat maps; pictures of two scenarios
    assert all(re.match("data:image/(svg\\+xml|png);base64,", source) for source in loaded)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _, _ in page.attributes}
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert not [value for _, name, value in page.attributes if name == "href" and not value.startswith("#")]
    for source in loaded:
        kind, data = source.split(";base64,")
        if kind.endswith("xml"):
            elements = ElementTree.fromstring(base64.b64decode(data)).iter()
            links = [value for each in elements for key, value in each.items() if key.endswith("href")]
            assert all(re.match("#|data:", link) for link in links)


def test_names_are_text(page, text):
    assert HOSTILE not in text
    assert "no <idea>" not in text
    assert "<recycling>" not in text
    assert "b" not in {tag for tag, _, _ in page.attributes}
    assert HOSTILE in page.texts["span"]  # where it stands with its colour


def test_failures_are_told(page):
    (table,) = with_head(page, "what")
    told = [[cell[0] for cell in row] for row in table.rows]
    assert [row[0] for row in told] == ["broken"] * 4 + ["wild"] * 4
    assert "RuntimeError: no <idea>" in told[0][3]
    assert "Traceback" in told[0][3]
    assert re.fullmatch("diverged by update \\d+", told[4][3])


def test_settings_stand_where_they_belong(folder):
    found = origin.settings_of(read_folder(folder).results)
    assert dict(found.shared)["stream.tasks"] == "5"
    assert {name: dict(pairs)["stream.strength"] for name, pairs in found.scenarios.items()} == {
        f"{SCENARIO} (strength={strength})": f"{strength}" for strength in (0.5, 1.0)
    }
    assert dict(found.methods["wild"])["episode.learner.optimizer"] == "SGD(lr=1000000000.0, momentum=0.0)"
    assert dict(found.methods["dense"])["agent"] == "Dense()"
    assert not found.cells
    assert not found.loose


def test_commands_redo_the_runs(folder):
    found = origin.commands_of(read_folder(folder).results, folder)
    assert found.lines[0] == (
        f"plastic-env compare --scenario {SCENARIO} --set strength=0.5 tasks=5 updates=20 --methods dense '{HOSTILE}' "
        f"--seeds 4 --out {folder}"
    )
    assert any(HOSTILE in remark for remark in found.remarks)


def test_mistakes_are_explained(folder, tmp_path, capsys):
    assert main(["report", str(folder), "--reference", "dens"]) == 2
    assert "Did you mean 'dense'?" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def copied(folder, where, *patterns):
    for pattern in patterns:
        for path in folder.glob(pattern):
            shutil.copy(path, where)


def test_one_method_with_one_seed_is_enough(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed000*")
    for path in list(tmp_path.iterdir())[1:]:
        path.unlink()
    page = Reader(write_report(tmp_path, asked=Asked(commands=("make <it>",))).read_text(encoding="utf-8"))
    assert page.texts["h1"] == f"Methods on {SCENARIO}"
    assert "[one seed]" in with_head(page, "TAOA")[0].rows[0][1][0]
    assert not with_head(page, "Welch p")
    assert "make <it>" in page.texts["pre"]


def test_folders_that_hold_no_results_are_refused(tmp_path):
    with pytest.raises(FileError, match="no result"):
        read_folder(tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(FileError, match=r"foreign.parquet can't be read .* remove it"):
        read_folder(tmp_path)
    table = pa.table({"x": [1]}).replace_schema_metadata({b"plastic_env": b'{"method": "dense"}'})
    pq.write_table(table, tmp_path / "foreign.parquet")
    with pytest.raises(FileError, match=r"holds no run .*scenario, stream.* move it"):
        read_folder(tmp_path)


def test_damaged_files_are_named(folder, tmp_path):
    copied(folder, tmp_path, "dense-*.parquet", "broken-seed000*")
    (error,) = tmp_path.glob("*.error.json")
    record = error.read_text()
    for damaged in ("", "{}", "[]", '{"error": "x", "settings": {}}'):
        error.write_text(damaged)
        with pytest.raises(FileError, match=re.escape(f"{error}") + ".* remove it"):
            read_folder(tmp_path)
    error.write_text(record)
    assert len(read_folder(tmp_path).failures) == 1
    path = next(tmp_path.glob("dense-seed002*.parquet"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileError, match=re.escape(str(path))):
        read_folder(tmp_path)


def test_what_is_unfinished_is_left_alone(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed000*")
    (tmp_path / ".dense-seed001.parquet-x.unfinished").write_bytes(b"half")
    (tmp_path / ".hidden.parquet").write_bytes(b"half")
    assert read_folder(tmp_path).methods == ("dense",)


def test_folders_of_folders(folder, tmp_path):
    for name, pattern in (("a", "dense-*"), ("b", "wild-*")):
        (tmp_path / name).mkdir()
        copied(folder, tmp_path / name, pattern)
    found = read_folder(tmp_path)
    assert {scenario: list(methods) for scenario, methods in found.results.items()} == {
        f"{SCENARIO} (strength=0.5)": ["dense"],
        f"{SCENARIO} (strength=1.0)": ["dense", "wild"],
    }


def changed(path, where, **settings):
    """A copy of a result with other settings."""
    table = pq.read_table(path)
    known = read_result(path).settings
    pq.write_table(table.replace_schema_metadata({b"plastic_env": json.dumps({**known, **settings})}), where)


def test_two_results_of_one_run_are_refused(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed00[01]*")
    for seed in (0, 1):
        path = next(tmp_path.glob(f"dense-seed00{seed}*.parquet"))
        changed(path, tmp_path / f"other{seed}.parquet", code="another", version="9")
    with pytest.raises(
        FileError, match=r"both hold dense with seed 0 .* differ in code, version\. So it is with 1 more"
    ):
        read_folder(tmp_path)


def test_a_failure_that_has_been_overcome_is_forgotten(folder, tmp_path):
    copied(folder, tmp_path, "broken-seed000*", "dense-seed000*")
    (error,) = tmp_path.glob("*.error.json")
    record = json.loads(error.read_text())
    path = next(tmp_path.glob("dense-*.parquet"))
    changed(
        path, tmp_path / "later.parquet", **{name: record["settings"][name] for name in ("stream", "method", "seed")}
    )
    assert read_folder(tmp_path).failures == []


def test_methods_that_some_scenario_lacks_come_last(folder):
    assert read_folder(folder).methods == ("dense", HOSTILE, "wild")


def test_mixed_versions_are_told(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed000*")
    for path in tmp_path.glob("dense-*.parquet"):
        changed(path, path, **({"code": "another"} if read_result(path).settings["stream"]["strength"] == 1 else {}))
    assert origin.versions_of(read_folder(tmp_path).results)["digest of its code"][1] == "another"


def test_text_is_escaped_once():
    assert element("p", "a < b", Html("<br>"), None, title='"x"', class_="y", hidden=True, id=None) == (
        '<p title="&quot;x&quot;" class="y" hidden>a &lt; b<br></p>'
    )
    assert element("img", alt="&") == '<img alt="&amp;">'
    assert joined(1, "<", Html("<")) == "1&lt;<"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.5, "0.5"), (64, "64"), (999.7, "1000"), (1000, "1 k"), (2.98e9, "2.98 G"), (3.1e21, "3100 E")],
)
def test_prefixes(value, shown):
    assert si(value) == shown
