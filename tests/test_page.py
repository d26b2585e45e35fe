"""The page about a folder of results: its numbers, its structure, what it tells of failures, what it refuses."""

import base64
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from failing import HOSTILE, SCENARIO, SEEDS, changed, copied, failing_study
from reader import Reader, column, with_head
from scipy import stats

from plastic_env.cli import main
from plastic_env.study.folder import read_folder
from plastic_env.study.report import ReportSettings, origin, write_report
from plastic_env.study.report.commands import commands_of
from plastic_env.study.report.markup import Html, element, joined
from plastic_env.study.report.tables import si
from plastic_env.study.results import read_result

QUESTION = "Does <recycling> help & whom?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return failing_study(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def text(folder, tmp_path_factory):
    """The page, by the command line."""
    where = tmp_path_factory.mktemp("page") / "new" / "report.html"
    assert main(["report", str(folder), "--question", QUESTION, "--out", str(where)]) == 0
    return where.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Reader(text)


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
    assert dict(found.methods["wild"])["episode.learner.optimizer"] == "SGD(cosine=0, lr=1000000000.0, momentum=0.0)"
    assert dict(found.methods["dense"])["agent"] == "NoEdit()"
    assert not found.cells
    assert not found.loose


def test_commands_redo_the_runs(folder):
    found = commands_of(read_folder(folder), folder)
    assert found.lines[0] == (
        f"plastic-env compare --scenario {SCENARIO} --methods dense '{HOSTILE}' --seeds 4 "
        f"--set strength=0.5 tasks=5 updates=20 --out {folder}"
    )
    assert len(found.lines) == 2
    assert any(HOSTILE in remark for remark in found.remarks)
    assert not any("dense" in remark for remark in found.remarks)


def test_mistakes_are_explained(folder, tmp_path, capsys):
    assert main(["report", str(folder), "--reference", "dens"]) == 2
    assert "Did you mean 'dense'?" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_one_method_with_one_seed_is_enough(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed000*")
    for path in list(tmp_path.iterdir())[1:]:
        path.unlink()
    page = Reader(write_report(tmp_path, asked=ReportSettings(commands=("make <it>",))).read_text(encoding="utf-8"))
    assert page.texts["h1"] == f"Methods on {SCENARIO}"
    (table,) = with_head(page, "TAOA")
    assert "[one seed]" in table.rows[0][table.heads.index("TAOA")][0]
    assert not with_head(page, "Welch p")
    assert "make <it>" in page.texts["pre"]


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
