"""Folders of results, read as they are: damaged, of other versions, of several settings."""

import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from failing import HOSTILE, SCENARIO, changed, copied, failing_study
from reader import Reader

from plastic_env.errors import FileError
from plastic_env.study.description import keep_study
from plastic_env.study.folder import read_folder
from plastic_env.study.report import write_report
from plastic_env.study.results import read_result
from plastic_env.study.sweep import Study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return failing_study(tmp_path_factory.mktemp("results"))


def test_folders_that_hold_no_results_are_refused(folder, tmp_path):
    with pytest.raises(FileError, match="no result"):
        read_folder(tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(FileError, match=r"No result in .* can be read. .*foreign.parquet can't be read .* remove it"):
        read_folder(tmp_path)
    copied(folder, tmp_path, "broken-*")
    with pytest.raises(FileError, match=r"No run in .* has finished, and 4 failed: .*no <idea>"):
        read_folder(tmp_path)


def test_bad_files_are_left_out_and_told_of(folder, tmp_path):
    """Damaged, foreign, of other versions: the page is made of the others, and names each."""
    copied(folder, tmp_path, "dense-*.parquet", "broken-seed000*", "wild-seed000*")
    dense = sorted(tmp_path.glob("dense-*.parquet"))
    dense[0].write_bytes(dense[0].read_bytes()[:1000])
    (tmp_path / "empty.parquet").write_bytes(b"")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    table = pa.table({"x": [1]}).replace_schema_metadata({b"plastic_env": b'{"method": "dense", "version": "9"}'})
    pq.write_table(table, tmp_path / "newer.parquet")
    table = pq.read_table(dense[1])
    pq.write_table(table.drop_columns(["macs", "cohort_age"]), tmp_path / "older.parquet")
    pq.write_table(table.drop_columns(["cohort_age"]), tmp_path / "other.parquet")
    changed(dense[1], tmp_path / "odd.parquet", shifts=["soon"], seed=77)
    changed(dense[1], tmp_path / "strange.parquet", stream=None, seed=78)
    record = (tmp_path / next(tmp_path.glob("broken*.json"))).read_text()
    for number, damaged in enumerate(("", "{}", "[]", '{"error": "x", "settings": {}}')):
        (tmp_path / f"x{number}.error.json").write_text(damaged)
    found = read_folder(tmp_path)
    assert sum(len(methods["dense"]) for methods in found.results.values()) == len(dense) - 1
    assert [failure.why for failure in found.failures] == [json.loads(record)["error"]]
    told = dict(re.match(r".*?([\w.=+-]+\.(?:parquet|json)) (.*)", text).groups() for text in found.left_out)
    assert sorted(told) == sorted(
        (
            *(dense[0].name, "empty.parquet", "foreign.parquet", "newer.parquet", "older.parquet", "other.parquet"),
            *("odd.parquet", "strange.parquet", *(f"x{number}.error.json" for number in range(4))),
        )
    )
    assert all(re.search("[Rr]emove", text) for text in told.values())
    assert "of plastic_env 9, and lacks scenario, stream" in told["newer.parquet"]
    assert "lacks macs, which" in told["older.parquet"]
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "12 files are left out." in page.texts["p"]
    assert str(tmp_path / "newer.parquet") in page.texts["li"]


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


def test_of_two_results_of_one_run_the_latest_counts(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed00[01]*")
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    path = next(tmp_path.glob("dense-seed000*strength=1.0*"), None) or next(tmp_path.glob("dense-seed000*"))
    changed(path, tmp_path / "other.parquet", code="another", version="9")
    found = read_folder(tmp_path)
    (text,) = found.left_out
    assert str(path) in text
    assert "both hold dense with seed 0" in text
    assert "they differ in code, version. The latter counts" in text
    assert "another" in [r.settings["code"] for methods in found.results.values() for r in methods["dense"]]
    os.utime(tmp_path / "other.parquet", (0, 0))
    assert str(tmp_path / "other.parquet") in read_folder(tmp_path).left_out[0]


def test_of_two_versions_the_one_that_the_folder_names_counts(folder, tmp_path):
    copied(folder, tmp_path, "dense-seed00[01]*")
    keep_study(Study(SCENARIO, "dense", 2), tmp_path)
    for path in list(tmp_path.glob("*.parquet")):
        changed(path, tmp_path / f"later-{path.name}", code="another")
    found = read_folder(tmp_path)
    assert len(found.left_out) == 4
    assert all("/later-" in text.split()[0] for text in found.left_out)


def test_methods_of_several_settings_are_told_apart(folder, tmp_path):
    copied(folder, tmp_path, "dense-*")
    for path in sorted(tmp_path.iterdir())[:2]:
        settings = read_result(path).settings
        learner = {**settings["episode"]["learner"], "live": 0.5}
        changed(path, path, episode={**settings["episode"], "learner": learner})
    found = read_folder(tmp_path)
    names = {
        scenario: {name: len(runs) for name, runs in methods.items()} for scenario, methods in found.results.items()
    }
    both = [methods for methods in names.values() if len(methods) > 1]
    assert both
    assert all(set(methods) == {"dense (live=0.5)", "dense (live=1.0)"} for methods in both)
    assert sum(sum(methods.values()) for methods in names.values()) == 8
    assert not found.left_out


def test_a_failure_that_has_been_overcome_is_forgotten(folder, tmp_path):
    copied(folder, tmp_path, "broken-seed000*", "dense-seed000*")
    (error,) = tmp_path.glob("*.error.json")
    settings = json.loads(error.read_text())["settings"]
    changed(next(tmp_path.glob("dense-*.parquet")), tmp_path / "later.parquet", **{**settings, "code": "another"})
    assert read_folder(tmp_path).failures == []


def test_methods_that_some_scenario_lacks_come_last(folder):
    assert read_folder(folder).methods == ("dense", HOSTILE, "wild")
