"""Studies that are interrupted, damaged, tracked, or made of runs that fail."""

import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import DIGITS, agents_in, contents, run, study_of

from plastic_env.cli import main
from plastic_env.errors import FileError, InvalidSetting
from plastic_env.study import checkpoints, on_ray, results
from plastic_env.study.checkpoints import Checkpoint
from plastic_env.study.film import FilmSettings
from plastic_env.study.groups import Report
from plastic_env.study.jobs import Job, Retrying, gathered
from plastic_env.study.living import Lives
from plastic_env.study.lock import LOCK, alone_in
from plastic_env.study.runner import CHECKPOINT_MINUTES, Finished, Running, run_study
from plastic_env.study.status import status
from plastic_env.study.sweep import TUNE_SEEDS
from plastic_env.study.tracking import open_sink

FLAGS = ["--scenario", DIGITS, "--seeds", "2", "--set", "tasks=4", "updates=4", "--threads", "1"]

MORE = """


class Guarded(Drawing):
    def reset(self, episode, seed):
        super().reset(episode, seed)
        self.draw = lambda: self.rng


class Deadly(Drawing):
    def act(self, observation, info):
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Drawing):
    learner = LearnerSettings(hidden=(4,))

    def act(self, observation, info):
        if info["updates"] > 5 and not os.path.exists("died"):
            open("died", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(observation, info)


class Fickle(Drawing):
    def act(self, observation, info):
        if os.path.exists("raises"):
            raise RuntimeError("not today")
        if os.path.exists("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(observation, info)
"""


@pytest.fixture
def agents(tmp_path, monkeypatch):
    with agents_in(tmp_path, monkeypatch, MORE) as named:
        yield named


def test_resume_makes_what_is_missing_again_with_the_same_bytes(tmp_path, capsys):
    assert run(capsys, "run", *FLAGS, "--methods", "dense", "grow", "--out", tmp_path)[0] == 0
    whole = contents(tmp_path)
    for name in list(whole)[::3]:
        (tmp_path / name).unlink()
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    code, out, _ = run(capsys, "status", tmp_path)
    assert code == 0
    assert sum(int(line.split()[-1]) for line in out.splitlines()[2:]) == 2
    code, out, err = run(capsys, "resume", tmp_path, "--threads", "1")
    assert code == 0
    assert err.count(": TAOA ") == 2  # only what was missing is spoken of
    assert contents(tmp_path) == whole
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def interrupt_after(monkeypatch, times):
    """Ctrl-C right after so many checkpoints."""
    save, saved = Checkpoint.save, []

    def interrupted(self, lives):
        save(self, lives)
        saved.append(len(lives.decisions[0]))
        if len(saved) == times:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", interrupted)


@pytest.mark.parametrize("method", ["Drawing", "Failing", "rsl", "cbp"])
def test_what_goes_on_from_a_checkpoint_ends_with_the_same_bytes(agents, capsys, monkeypatch, method):
    method = f"{agents}{method}" if method[0].isupper() else method
    options = [*FLAGS, "--methods", method, "dense", "--checkpoint-minutes", "0"]
    run(capsys, "run", *options, "--out", "undisturbed")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        code, _, err = run(capsys, "run", *options, "--out", "disturbed")
    assert code == 130
    assert "Finished runs are kept" in err
    assert len(list(Path("disturbed").glob(f"*{checkpoints.ENDING}"))) == 1
    begun = []
    begin = Lives.begin
    monkeypatch.setattr(Lives, "begin", lambda lives: begun.append(lives.runs[0].method_name) or begin(lives))
    run(capsys, "resume", "disturbed", "--threads", "1")
    first = method.rpartition(":")[2]
    assert first not in begun  # it went on, and so did not begin
    assert contents("disturbed") == contents("undisturbed")
    assert len(contents("disturbed")) == (2 if first == "Failing" else 4)
    assert not list(Path("disturbed").glob(f"*{checkpoints.ENDING}"))


def test_agents_that_cannot_be_pickled_go_without_checkpoints_and_say_so(agents):
    run_study(study_of(f"{agents}Guarded"), Path("out"), checkpoint_minutes=0, show_progress=False)
    assert len(contents("out")) == 2
    log = Path("out/study.log").read_text()
    assert log.count("No checkpoints of Guarded: ") == 1
    assert not list(Path("out").glob(f"*{checkpoints.ENDING}"))


def test_a_checkpoint_that_cannot_be_read_is_left(agents):
    study = study_of(f"{agents}Drawing")
    Path("out").mkdir()
    for content in (b"half", pickle.dumps({"lifetime": {}})):
        Checkpoint.of(study.groups()[0], Path("out")).path.write_bytes(content)
        run_study(study, Path("out"), overwrite=False, show_progress=False)
        assert "can't be read" in Path("out/study.log").read_text().splitlines()[-3]
        for file in Path("out").glob("*.parquet"):
            file.unlink()


def test_a_process_that_dies_is_tried_again_once_and_fails_its_own_runs_only(agents):
    study = study_of(f"{agents}Deadly", "dense", f"{agents}Drawing", f"{agents}Mortal")
    finished = run_study(study, Path("out"), threads=2, checkpoint_minutes=0, show_progress=False)
    assert set(finished.failures) == {(method, seed) for method in ("Deadly", "Drawing") for seed in (0, 1)}
    assert list(finished.results) == ["dense", "Mortal"]  # those that were stacked with Deadly died with it
    assert all("The process died (exit code -9)" in why for why in finished.failures.values())
    assert all("It was tried 2 times." in why for why in finished.failures.values())
    assert status(study, Path("out")).failed == len(finished.failures)
    assert Path("out/study.log").read_text().count("begun again: The process died (exit code -9)") == 2
    run_study(study_of("dense", f"{agents}Mortal"), Path("undisturbed"), show_progress=False)
    assert contents("out") == contents("undisturbed")


@pytest.mark.parametrize(("way", "why"), [("raises", "not today"), ("dies", "The process died")])
def test_what_fails_to_be_overwritten_is_no_result_any_more(agents, way, why):
    study = study_of(f"{agents}Fickle")
    kept = {"backend": "processes" if way == "dies" else "here", "show_progress": False}
    run_study(study, Path("out"), **kept)
    before = contents("out")
    Path(way).touch()
    finished = run_study(study, Path("out"), overwrite=True, **kept)
    assert {seed: why in told for (_, seed), told in finished.failures.items()} == {0: True, 1: True}
    assert not finished.results
    assert not contents("out")
    assert status(study, Path("out")).failed == 2
    Path(way).unlink()
    run_study(study, Path("out"), **kept)
    assert contents("out") == before
    assert not list(Path("out").glob("*.error.json"))


@pytest.mark.parametrize("way", ["raises", "dies"])
def test_what_is_finished_stays_when_its_group_fails_later(agents, way):
    study = study_of(f"{agents}Fickle")
    kept = {"backend": "processes" if way == "dies" else "here", "show_progress": False}
    run_study(study, Path("out"), **kept)
    before, (first, second) = contents("out"), study.groups()[0]
    second.path(Path("out")).unlink()
    Path(way).touch()
    finished = run_study(study, Path("out"), **kept)
    assert set(finished.failures) == {("Fickle", 1)}
    assert [result.settings["seed"] for result in finished.results["Fickle"]] == [0]
    assert contents("out") == {first.path(Path()).name: before[first.path(Path()).name]}
    assert [file.name for file in Path("out").glob("*.error.json")] == [second.error_path(Path()).name]


def test_what_comes_home_leaves_finished_results_alone_unless_they_are_to_be_overwritten(tmp_path):
    runs = study_of().groups()[0]
    (result, error), (other, _) = ((run.path(tmp_path), run.error_path(tmp_path)) for run in runs)
    job = Job(study_of(), 0, tuple(run.id for run in runs), tmp_path, False, 0)
    result.write_bytes(b"old")
    on_ray._take({result.name: b"new", error.name: b"why", other.name: b"its"}, runs, job)
    assert (result.read_bytes(), other.read_bytes(), error.exists()) == (b"old", b"its", False)
    on_ray._take({error.name: b"why"}, runs, replace(job, overwrite=True))
    assert (result.exists(), error.read_bytes()) == (False, b"why")
    on_ray._take({result.name: b"new"}, runs, job)
    assert (result.read_bytes(), error.exists()) == (b"new", False)


def test_a_job_that_is_lost_takes_back_what_it_told():
    told = []
    job = Job(study_of(), 0, ("a",), Path("out"), False, 0)
    retrying = Retrying([job], [[]], lambda _, message: told.append(message))
    assert retrying.waiting.pop() == job
    retrying.tell(job, 3)
    retrying.tell(job, 4)
    retrying.lost(job, "Gone.")
    assert told == [3, 4, -7, "a and what is trained with it are begun again: Gone."]
    assert retrying.waiting.pop() == job
    retrying.tell(job, 5)
    retrying.lost(job, "Gone.")
    assert told[4:] == [5, -5, Report()]
    assert not retrying.waiting


def test_progress_is_gathered_and_none_of_it_lost():
    assert list(gathered([1, 2, 3, Report()], patience=60)) == [6, Report()]
    assert list(gathered([1, 2, 3, Report()], patience=0)) == [1, 2, 3, Report()]


def test_a_folder_has_one_process_at_a_time(tmp_path, capsys):
    hold = "import sys, time; from plastic_env.study.lock import alone_in\n"
    hold += "with alone_in(__import__('pathlib').Path(sys.argv[1])): print('has it', flush=True); time.sleep(100)"
    other = subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "has it\n"
        for command in (["run", *FLAGS, "--methods", "dense"], ["compare", *FLAGS, "--methods", "dense"]):
            code, _, err = run(capsys, *command, "--out", tmp_path)
            assert code == 2
            assert f"Another run is at work in {tmp_path}: process {other.pid} on " in err
        assert [file.name for file in tmp_path.iterdir()] == [LOCK]
    finally:
        other.kill()  # which leaves the file
        other.communicate()
    assert run(capsys, "run", *FLAGS, "--methods", "dense", "--out", tmp_path)[0] == 0
    assert not (tmp_path / LOCK).exists()
    with alone_in(tmp_path), alone_in(tmp_path / "." / "x" / ".."):  # the same
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_a_group_that_cannot_begin_fails_alone_and_says_why(tmp_path, capsys):
    options = [*FLAGS, "--set", "batch_size=1", "--methods", "dense", "--axis", "norm=none,batch", "--out", tmp_path]
    code, out, err = run(capsys, "run", *options)
    assert code == 1
    assert f"dense+norm=batch on {DIGITS}, 2 failed: InvalidSetting: Batches hold 1 sample(s)" in out
    assert "2 runs failed" in err
    assert len(contents(tmp_path)) == 2
    assert run(capsys, "status", tmp_path)[0] == 1
    (one, _) = tmp_path.glob("*.error.json")
    assert "Traceback" in json.loads(one.read_text())["traceback"]


def test_a_full_disk_ends_the_study_and_loses_nothing(tmp_path, capsys, monkeypatch):
    run(capsys, "run", *FLAGS, "--methods", "dense", "grow", "--out", tmp_path / "a")
    write, written = pq.write_table, []

    def full(table, path):
        written.append(path)
        if len(written) == 3:
            Path(path).write_bytes(b"PAR1 half")
            raise OSError(28, "No space left on device")
        write(table, path)

    monkeypatch.setattr(results.pq, "write_table", full)
    code, _, err = run(capsys, "run", *FLAGS, "--methods", "dense", "grow", "--out", tmp_path / "b")
    assert code == 2
    assert "No space left on device" in err
    assert "free some space" in err
    assert len(contents(tmp_path / "b")) == 2
    assert not [file for file in (tmp_path / "b").iterdir() if "unfinished" in file.name]
    assert run(capsys, "resume", tmp_path / "b", "--threads", "1")[0] == 0
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


def test_results_of_other_code_are_not_mixed_with_these(tmp_path, capsys):
    run(capsys, "run", *FLAGS, "--methods", "dense", "--out", tmp_path)
    record = json.loads((tmp_path / "study.json").read_text())
    record["versions"]["plastic_env"] = "0.0.9"
    (tmp_path / "study.json").write_text(json.dumps(record))
    for command in (["resume", tmp_path], ["run", *FLAGS, "--methods", "grow", "--out", tmp_path]):
        code, _, err = run(capsys, *command)
        assert code == 2
        assert "holds results of plastic_env 0.0.9" in err
        assert "with --overwrite" in err
    assert "holds results of plastic_env 0.0.9" in run(capsys, "status", tmp_path)[2]
    assert run(capsys, "resume", tmp_path, "--threads", "1", "--overwrite")[0] == 0
    assert run(capsys, "resume", tmp_path)[0] == 0


def test_a_folder_that_becomes_another_study_says_so(tmp_path, capsys):
    command = ["run", *FLAGS, "--out", tmp_path, "--methods"]
    remark = f"plastic-env: {tmp_path} was of another study; from now on it is of this one. Finished runs of both stay."
    for methods, remarks in ((["dense"], 0), (["dense"], 0), (["dense", "grow"], 1), (["dense", "grow"], 0)):
        assert run(capsys, *command, *methods)[2].splitlines().count(remark) == remarks
    assert len(contents(tmp_path)) == 4


@pytest.mark.parametrize("threads", [-3, 0, 1.5, True])
def test_threads_that_make_no_sense_are_refused(threads):
    with pytest.raises(InvalidSetting, match=r"threads is .* at least 1"):
        Running(threads=threads)


@pytest.mark.parametrize("command", ["run", "watch"])
def test_defaults_in_the_help_are_those_of_the_code(command, capsys):
    film = FilmSettings()
    numbers = {
        "run": {"--checkpoint-minutes M": f"{CHECKPOINT_MINUTES:g}", "--tune-seeds N": TUNE_SEEDS},
        "watch": {"--frames N": film.frames, "--fps F": film.fps, "--colour C": film.colour},
    }
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    for option, default in numbers[command].items():
        assert re.search(rf" {option} (?:(?! --).)*\(default: {default}\)", told), option


def test_a_study_without_cells_has_no_results():
    assert Finished(study_of(), (), Path("out"), {}).results == {}


def test_a_folder_without_a_record_and_a_damaged_one(tmp_path, capsys):
    assert "it is no folder of results" in run(capsys, "resume", tmp_path)[2]
    for text in ("{", "[]", "{}"):
        (tmp_path / "study.json").write_text(text)
        code, _, err = run(capsys, "resume", tmp_path)
        assert code == 2
        assert "can't be read" in err


def test_files_that_are_none_of_the_study_are_told(tmp_path):
    study = study_of("dense", "grow", seeds=1)
    run_study(study, tmp_path, show_progress=False)
    dense, grow = (group[0].path(tmp_path) for group in study.groups())
    whole = grow.read_bytes()
    grow.write_bytes(dense.read_bytes())
    found = status(study, tmp_path)
    assert (found.cells[0].done, found.cells[1].done) == (1, 0)
    assert "holds another run than its name says; remove it" in found.cells[1].failures[0]
    with pytest.raises(FileError, match="another run than its name says"):
        run_study(study, tmp_path, show_progress=False)
    grow.write_bytes(whole[:-9])
    assert "can't be read" in status(study, tmp_path).text
    grow.write_bytes(whole)
    (tmp_path / "stray.parquet").write_bytes(whole)
    assert (
        "1 other results are in the folder: of other settings, seeds or versions, or tickets."
        in status(study, tmp_path).text
    )


class Listed:
    """A sink that remembers."""

    def __init__(self):
        self.rows = []

    def write(self, row):
        self.rows.append(row)

    def close(self):
        pass


def test_sinks_see_every_decision(tmp_path):
    sink = Listed()
    found = run_study(study_of("grow"), tmp_path, sinks=(sink,), show_progress=False).results["grow"]
    assert len(sink.rows) == sum(len(result.rows["stop"]) for result in found) == 8
    assert [row["update"] for row in sink.rows] == [4, 8, 12, 16] * 2
    assert sink.rows[4]["run"] == found[1].settings["id"]
    assert sink.rows[7]["online_accuracy"] == pytest.approx(found[1].online_accuracy()[12:].mean())
    assert sink.rows[7]["macs"] == sum(found[1].rows["macs"])
    assert sink.rows[7]["width"] == np.mean(found[1].last("live"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_same_curves(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = [*FLAGS, "--methods", "dense", "--track", "tensorboard", "--out", tmp_path]
    assert run(capsys, "run", *options)[0] == 0
    result = run_study(study_of(), tmp_path, show_progress=False).results["dense"][1]
    events = EventAccumulator(str(tmp_path / "tensorboard" / result.settings["id"]))
    events.Reload()
    points = [(point.step, point.value) for point in events.Scalars("online_accuracy")]
    accuracy = result.online_accuracy().reshape(4, 4).mean(1)
    assert points == [(4 * (at + 1), pytest.approx(value)) for at, value in enumerate(accuracy)]


@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_keeps_runs_offline(tmp_path, capsys):
    pytest.importorskip("wandb")
    sink = open_sink("wandb", tmp_path)
    for name in ("one", "two"):
        for update in (4, 8):
            sink.write({"run": name, "update": update, "online_accuracy": 0.5})
    sink.close()
    kept = list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(kept) == 2
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("package", "module"), [("wandb", "wandb"), ("tensorboard", "torch.utils.tensorboard")])
def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch, package, module):
    monkeypatch.setitem(sys.modules, module, None)
    code, _, err = run(capsys, "run", *FLAGS, "--methods", "dense", "--track", package, "--out", tmp_path / "out")
    assert code == 2
    assert f"{package} can't be imported" in err
    assert "pip install 'plastic_env[track]'" in err
    assert not (tmp_path / "out").exists()


def test_a_missing_ray_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run(capsys, "run", *FLAGS, "--methods", "dense", "--backend", "ray", "--out", tmp_path / "out")
    assert code == 2
    assert "ray can't be imported" in err
    assert "pip install 'plastic_env[ray]'" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--backend", "rya"], "Unknown backend 'rya'. Did you mean 'ray'?"),
        (["--address", "auto"], "The address 'auto' is of no use; it is for the backend ray"),
        (["--track", "tensorbord"], "Did you mean 'tensorboard'"),
        (["--checkpoint-minutes", "-1"], "checkpoint_minutes is -1.0; give 0 or more"),
        (["--axis", "lr"], "--axis 'lr' is no axis; give NAME=VALUE,VALUE"),
    ],
)
def test_options_that_make_no_sense(tmp_path, capsys, options, says):
    code, _, err = run(capsys, "run", *FLAGS, "--methods", "dense", "--out", tmp_path / "out", *options)
    assert (code, says in err) == (2, True), err
    assert not (tmp_path / "out").exists()
