"""The main job from the command line: its table, its picture, its files, and what becomes of them when it is killed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from plastic_env.cli import main
from plastic_env.env.encoding import KINDS
from plastic_env.errors import FileError
from plastic_env.files import write_atomically
from plastic_env.scenarios import find
from plastic_env.study import groups, sweep
from plastic_env.study.compare import compare
from plastic_env.study.sweep import Study

SMALL = ["compare", "--tasks", "6", "--seeds", "3", "--threads", "1"]

AGENT = """
from dataclasses import dataclass

from plastic_env import LearnerSettings


@dataclass
class Mine:
    learner = LearnerSettings(live=0.5)
    count: int = 3

    def reset(self, episode, seed):
        self.episode = episode

    def act(self, observation, info):
        return self.episode.action(budget=50, grow=self.count if info["shift"] else 0)


class Nonsense(Mine):
    def act(self, observation, info):
        return {"grow": "many"}


class Raises(Mine):
    def act(self, observation, info):
        raise KeyError("no idea")
"""


def run(capsys, *arguments):
    code = main([*SMALL, *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_table_json_and_raw_rows_agree(tmp_path, capsys):
    code, out, err = run(capsys, "--methods", "dense,grow", "reset", "--out", tmp_path, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["scenario"] == "plastic_env/PermutedDigits-small-v0"
    assert list(found["methods"]) == ["dense", "grow", "reset"]
    assert re.search(r"  9/9 runs  .*: TAOA 0\.\d{3}  \([\d,]+ updates/s, 0:00:00 left\)\n", err)
    assert (tmp_path / "study.log").read_text() == err.partition("curves: ")[0]
    for name, summary in found["methods"].items():
        files = sorted(tmp_path.glob(f"{name}-seed*.parquet"))
        assert [file.name[: len(name) + 8] for file in files] == [f"{name}-seed00{seed}" for seed in range(3)]
        tables = [pq.read_table(file).to_pydict() for file in files]
        accuracy = np.array([np.concatenate(table["accuracy"]) for table in tables])
        assert accuracy.shape == (3, 600)
        assert summary["taoa"][0] == pytest.approx(accuracy.mean())
        assert summary["first_fifth"][0] == pytest.approx(accuracy[:, :120].mean())
        assert summary["last_fifth"][0] == pytest.approx(accuracy[:, 480:].mean())
        assert summary["taoa"][1] <= summary["taoa"][0] <= summary["taoa"][2]
        assert summary["macs"] == pytest.approx(np.mean([sum(table["macs"]) for table in tables]))
        assert summary["final_width"] == np.mean([table["live"][-1] for table in tables])
        assert all(sum(table["reward"]) == pytest.approx(a.mean()) for table, a in zip(tables, accuracy, strict=True))
        assert {f"{kind}_rule" for kind in KINDS} < set(tables[0])
    settings = json.loads(pq.read_schema(files[0]).metadata[b"plastic_env"])
    assert settings["episode"]["learner"]["optimizer"] == {
        "type": "Adam",
        "lr": 0.003,
        "cosine": 0,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
    }
    assert settings["stream"]["tasks"] == 6
    assert settings["stacked"] == [[name, seed] for name in ("dense", "reset") for seed in range(3)]


def test_finished_runs_are_read_and_overwrite_repeats_them(tmp_path, capsys, monkeypatch):
    arguments = ("--methods", "dense", "recycle", "--out", tmp_path)
    _, table, _ = run(capsys, *arguments)
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    contents = {file: file.read_bytes() for file in stamps}
    monkeypatch.setattr(groups, "run_group", lambda *_: pytest.fail("a finished run was repeated"))
    assert run(capsys, *arguments)[1] == table
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")} == stamps
    monkeypatch.undo()
    assert run(capsys, *arguments, "--overwrite")[1] == table
    assert all(file.stat().st_mtime_ns > stamp for file, stamp in stamps.items())
    assert {file: file.read_bytes() for file in stamps} == contents  # byte for byte
    assert run(capsys, *arguments, "--tasks", "5")[0] == 0  # other settings, other runs
    assert len(list(tmp_path.glob("*.parquet"))) == 2 * len(stamps)
    monkeypatch.setattr(sweep, "code_digest", lambda: "changed")  # other code, other runs
    assert run(capsys, *arguments)[0] == 0
    assert len(list(tmp_path.glob("*.parquet"))) == 3 * len(stamps)


def test_processes_and_one_process_give_the_same_bytes(tmp_path):
    study = Study("PermutedDigits-small-v0", ("dense", "recycle"), (0, 1), (("tasks", 3),))
    one, two = (compare(study, tmp_path / str(n), threads=n, show_progress=False) for n in (1, 2))
    assert one.table == two.table
    for file in (tmp_path / "1").glob("*.parquet"):
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_picture_is_whole_and_not_empty(tmp_path, capsys):
    from matplotlib.image import imread

    run(capsys, "--methods", "dense", "grow", "--out", tmp_path)
    image = imread(tmp_path / "plasticity_curves.png")[..., :3]
    assert image.shape[0] > 1000
    assert image.shape[1] > 1000
    border = np.concatenate([image[:4].ravel(), image[-4:].ravel(), image[:, :4].ravel(), image[:, -4:].ravel()])
    assert border.min() == 1  # nothing touches the edge
    assert (image < 0.5).mean() > 0.005


def test_an_agent_of_ones_own(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "--methods", "mine.py:Mine", "dense", "--out", "results", "--json")
    assert code == 0
    assert json.loads(out)["methods"]["Mine"]["final_width"] == 32 + 5 * 3
    (file, *_) = Path("results").glob("Mine-seed000*.parquet")
    assert json.loads(pq.read_schema(file).metadata[b"plastic_env"])["agent"] == {"type": "Mine", "count": 3}
    (tmp_path / "mine.py").write_text(AGENT.replace("count: int = 3", "count: int = 4"))
    _, out, _ = run(capsys, "--methods", "mine.py:Mine", "--out", "results", "--json")
    assert json.loads(out)["methods"]["Mine"]["final_width"] == 32 + 5 * 4  # a changed agent is another run


def test_an_agent_that_fails_is_named_and_the_others_go_on(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(AGENT)
    bad = [f"{file}:Nonsense", f"{file}:Raises"]
    code, out, err = run(capsys, "--methods", *bad, "dense", "--out", tmp_path / "out")
    assert code == 1
    assert "dense" in out
    assert "Nonsense failed with 3 seed(s): Agent 'Nonsense' (seed 0): InvalidAction: The action lacks" in err
    assert "Raises failed with 3 seed(s): Agent 'Raises' (seed 0): KeyError: 'no idea'" in err
    code, _, err = run(capsys, "--methods", *bad, "--out", tmp_path / "out")
    assert code == 2
    assert "Every run failed" in err


def test_more_seeds_leave_finished_runs_alone(tmp_path, capsys):
    arguments = ("--methods", "dense", "--out", tmp_path)
    run(capsys, *arguments, "--seeds", "2")
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    run(capsys, *arguments, "--seeds", "4")
    assert len(list(tmp_path.glob("*.parquet"))) == 4
    assert {file: file.stat().st_mtime_ns for file in stamps} == stamps


def test_agents_of_one_name_are_refused(tmp_path, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(AGENT)
    wanted = [f"{tmp_path}/{folder}/mine.py:Mine" for folder in ("a", "b")]
    code, _, err = run(capsys, "--methods", *wanted, "--out", tmp_path / "out")
    assert code == 2
    assert "are both called Mine" in err


def test_an_agent_may_import_from_beside_it(tmp_path, capsys):
    (tmp_path / "beside.py").write_text("COUNT = 2")
    (tmp_path / "mine.py").write_text(AGENT.replace("count: int = 3", "count: int = __import__('beside').COUNT"))
    code, out, _ = run(capsys, "--methods", f"{tmp_path}/mine.py:Mine", "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["methods"]["Mine"]["final_width"] == 32 + 5 * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "recycel"], "Did you mean 'recycle'? Known: dense, reset, grow"),
        (["--scenario", "PermutedDigit-v0"], "Did you mean 'PermutedDigits-small-v0'"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--threads", "-2"], "threads is -2"),
        (["--tasks", "0"], "tasks is 0; give a whole number of at least 1"),
        (["--methods", "nowhere.py:Agent"], "There is no file 'nowhere.py'"),
        (["--out", "/proc/nowhere"], "can't be written"),
        (["--out", "/proc/version"], "can't be written"),
        (["--methods", ","], "at least one method"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "--methods", "dense", "--tasks", "1", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "shown"), [("[1]", "(1,)"), ("{[]: 1}", "'{[]: 1}'")])
def test_values_that_cannot_be_hashed_are_explained(tmp_path, capsys, value, shown):
    code, _, err = run(capsys, "--methods", "dense", "--set", f"data={value}", "--out", tmp_path)
    assert code == 2
    assert f"Unknown data set {shown}. Known: digits" in err


@pytest.mark.parametrize("text", ["def broken(:", "raise RuntimeError('at import')", "class Agent: pass"])
def test_agent_files_that_cannot_be_used(tmp_path, capsys, text):
    file = tmp_path / "agent.py"
    file.write_text(text)
    code, _, err = run(capsys, "--methods", f"{file}:Agent", "--out", tmp_path / "out")
    assert code == 2
    assert "can't be imported" in err or "names no agent class with the methods reset(episode, seed) and act" in err


def test_a_damaged_result_is_named(tmp_path, capsys):
    run(capsys, "--methods", "dense", "--out", tmp_path)
    victim = next(tmp_path.glob("dense-seed001*.parquet"))
    victim.write_bytes(victim.read_bytes()[:500])
    code, _, err = run(capsys, "--methods", "dense", "--out", tmp_path)
    assert code == 2
    assert victim.name in err
    assert "--overwrite" in err
    assert run(capsys, "--methods", "dense", "--out", tmp_path, "--overwrite")[0] == 0


def test_a_failed_write_leaves_the_former_file(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("former")

    def fail(unfinished):
        unfinished.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="No space left"):
        write_atomically(path, fail)
    assert path.read_text() == "former"
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


def test_killed_at_any_moment_it_leaves_whole_files_and_ends_with_the_same_table(tmp_path):
    """Kills the main process: when the first result appears, twice at random, and by Ctrl-C; then lets it finish."""
    methods = ["dense", "reset", "recycle", "prune"]
    command = [sys.executable, "-m", "plastic_env.cli", "compare", "--tasks", "12", "--seeds", "2", "--threads", "2"]
    command += ["--json", "--checkpoint-minutes", "0", "--methods", *methods, "--out"]
    undisturbed = subprocess.run([*command, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    folder = tmp_path / "b"
    rng = random.Random(0)
    for kind in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        before = len(list(folder.glob("*.parquet")))
        process = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and len(list(folder.glob("*.parquet"))) <= before:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        if process.poll() is None:
            os.kill(process.pid, kind)
        _, err = process.communicate()
        assert process.returncode in ({-9, 0} if kind == signal.SIGKILL else {130, 0, -signal.SIGINT}), err.decode()
        for file in folder.glob("*.parquet"):
            assert pq.read_table(file).num_rows == 12
    finished = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == undisturbed.stdout
    suffixes = {file.suffix for file in folder.iterdir()} - {".log"}  # which only those write who live to see a run end
    assert suffixes == {".parquet", ".png", ".json"}
    for file in (tmp_path / "a").glob("*.parquet"):
        assert file.read_bytes() == (folder / file.name).read_bytes()


def test_compare_lives_the_lives_of_the_gymnasium_environment(tmp_path):
    """Seed s of a study is `reset(seed=s)` of the environment."""
    import gymnasium

    compare(Study("PermutedDigits-small-v0", ("dense",), (0, 1), (("tasks", 2),)), tmp_path, show_progress=False)
    file = next(tmp_path.glob("dense-seed001*"))
    stored = np.concatenate(pq.read_table(file).to_pydict()["accuracy"])
    env = gymnasium.make("plastic_env/PermutedDigits-small-v0", tasks=2)
    env.reset(seed=1)
    env.step(env.unwrapped.episode.action())
    env.step(env.unwrapped.episode.action())
    lived = np.concatenate([outcome.accuracy for outcome in env.unwrapped.outcomes])
    np.testing.assert_allclose(lived, stored, atol=1 / 16)  # rounding may flip a sample
    assert np.abs(lived - stored).mean() < 1e-3
    assert find("PermutedDigits-small-v0", tasks=2).stream(0).updates == len(lived)


def test_runs_on_other_data_are_other_runs(tmp_path):
    """The same name, other content: nothing old is printed as new."""
    rng = np.random.default_rng(0)
    ids = []
    for flipped in (0, 1):
        arrays = {"x_train": rng.random((40, 6)), "x_test": rng.random((10, 6))}
        labels = {"y_train": (np.arange(40) + flipped) % 2, "y_test": np.arange(10) % 2}
        np.savez(tmp_path / "mine.npz", **arrays, **labels)
        code = (
            "from plastic_env.study.sweep import Study;"
            f"changes = (('data', 'npz:{tmp_path / 'mine.npz'}'),);"
            "print(Study('PermutedDigits-small-v0', ('dense',), (0,), changes).groups()[0][0].id)"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        ids.append(found.stdout.strip())
    assert ids[0].startswith("dense-seed000-")
    assert ids[0] != ids[1]
