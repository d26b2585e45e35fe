"""Studies on a cluster of two machines, both of which are this one, and what becomes of them when one is lost."""

import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from commands import DIGITS, agents_in, contents, study_of

from plastic_env.cli import main
from plastic_env.errors import AgentError, BackendError
from plastic_env.study import on_ray
from plastic_env.study.jobs import Job
from plastic_env.study.parcels import lay, pack
from plastic_env.study.runner import run_study

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray"),
    pytest.mark.filterwarnings("ignore"),  # of Ray's
]

FAR = {"backend": "ray", "threads": None, "show_progress": False, "checkpoint_minutes": 0}
HERE = {**FAR, "backend": "here"}

MORE = """


class Lost(Drawing):  # the first time
    def reset(self, episode, seed):
        super().reset(episode, seed)
        with open("begun", "a") as file:
            file.write("once\\n")

    def act(self, observation, info):
        if info["updates"] >= 9 and not Path("lost").exists():
            time.sleep(1.2)  # for news of it to be due
            if info["updates"] >= 12:
                Path("lost").touch()
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().act(observation, info)


class Waiting(Drawing):  # the first time, wherever that is
    def act(self, observation, info):
        if not Path("waits").exists():
            import ray

            Path("waits.new").write_text(ray.get_runtime_context().get_node_id())
            Path("waits.new").rename("waits")
            for _ in range(600):
                time.sleep(0.1)
        return super().act(observation, info)
"""


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two machines of one core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # stay on the loopback device
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        memory = {"object_store_memory": 80_000_000}
        cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1, **memory)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="module")
def connected(cluster):
    """The cluster, connected throughout, as starting processes there takes seconds."""
    with on_ray.connected(cluster.address):
        yield cluster


@pytest.fixture
def agents(tmp_path, monkeypatch):
    with agents_in(tmp_path, monkeypatch, MORE) as named:
        yield named


def wait_for(file):
    until = time.monotonic() + 100
    while not Path(file).exists():
        assert time.monotonic() < until, f"{file} never came"
        time.sleep(0.05)


def test_a_cluster_is_reached_by_its_address_and_left_again(cluster):
    with on_ray.connected(cluster.address) as ray:
        assert ray.cluster_resources()["CPU"] == 2
    assert not ray.is_initialized()
    for nowhere in ("nowhere", "127.0.0.1:1"):
        says = f"There is no Ray cluster at --address {nowhere} .* Start one: `ray start --head`"
        with pytest.raises(BackendError, match=says), on_ray.connected(nowhere):
            pass
    with pytest.raises(BackendError, match="is of Ray's client"), on_ray.connected("ray://127.0.0.1:1"):
        pass


def test_errors_say_where_the_address_is_from(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(BackendError, match=r"no Ray cluster at RAY_ADDRESS=127.0.0.1:1"), on_ray.connected(None):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")
    with pytest.raises(BackendError, match=r"RAY_ADDRESS=ray://127.0.0.1:1 is of"), on_ray.connected(None):
        pass
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setattr(on_ray.imported(), "init", lambda *_, **kept: (_ for _ in ()).throw(RuntimeError("no room")))
    with pytest.raises(BackendError, match=r"can't be started on this machine \(no room\)"), on_ray.connected(None):
        pass


def test_what_comes_home_are_the_same_bytes(connected, agents, capsys):
    options = ["--scenario", DIGITS, "--seeds", "2", "--set", "tasks=4", "updates=4"]
    options += ["--methods", f"{agents}Drawing", f"{agents}Failing", "grow", "--checkpoint-minutes", "0"]
    assert main(["run", *options, "--out", "far", "--backend", "ray", "--address", connected.address]) == 1
    far = capsys.readouterr()
    assert main(["run", *options, "--out", "here", "--backend", "here"]) == 1
    near = capsys.readouterr()
    assert contents("far") == contents("here")
    assert len(contents("far")) == 4
    assert far.out.replace("far", "here") == near.out
    assert "Failing (seed 1): RuntimeError: not today" in far.out.replace("'", "")
    for name in ("*.error.json", "*.checkpoint", ".*"):
        assert {file.name for file in Path("far").glob(name)} == {file.name for file in Path("here").glob(name)}
    assert main(["resume", "far", "--threads", "1"]) == 1


def test_a_lost_process_is_made_up_for_from_its_checkpoint(connected, agents):
    study = study_of(f"{agents}Lost", "dense")
    finished = run_study(study, Path("far"), **FAR)
    assert not finished.failures
    assert Path("begun").read_text().count("once") == 2  # for two seeds: what was begun again went on
    assert "begun again: Its machine or process was lost (WorkerCrashedError)" in Path("far/study.log").read_text()
    run_study(study, Path("here"), **HERE)
    assert contents("far") == contents("here")
    assert len(contents("far")) == 4
    assert not list(Path("far").glob("*.checkpoint"))


def test_interrupted_it_keeps_what_is_finished_and_stops_the_rest(connected, agents):
    import ray

    def interrupt():
        wait_for("waits")
        while len(contents("far")) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_study(study_of(f"{agents}Waiting", "dense"), Path("far"), **FAR)
    assert all(name.startswith("dense") for name in contents("far"))
    until = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < until, "it runs on"
        time.sleep(0.1)


def test_machines_of_other_code_are_refused(connected, agents, monkeypatch):
    other = on_ray.Versions("0.0.9", "0123456789abcdef")
    monkeypatch.setattr(on_ray.Versions, "here", lambda: other)
    with pytest.raises(BackendError, match=r"is run with 0\.0\.9 \(code 0123456789abcdef\); install the same one"):
        run_study(study_of("dense"), Path("far"), **FAR)


def test_a_lost_machine_is_made_up_for_by_the_other(connected, agents):  # the last test of the cluster
    def lose():
        wait_for("waits")
        (node,) = (node for node in connected.worker_nodes if node.node_id == Path("waits").read_text())
        connected.remove_node(node, allow_graceful=False)

    study = study_of(f"{agents}Waiting", f"{agents}Drawing", "grow")
    losing = threading.Thread(target=lose)
    losing.start()
    finished = run_study(study, Path("far"), **FAR)
    losing.join()
    assert not finished.failures
    assert len(connected.worker_nodes) == 1
    assert "begun again: Its machine" in Path("far/study.log").read_text()
    run_study(study, Path("here"), **HERE)
    assert contents("far") == contents("here")
    assert len(contents("far")) == 6


def test_a_parcel_holds_what_agents_need_and_no_more(agents, tmp_path, monkeypatch):
    (tmp_path / "pack_age").mkdir()
    (tmp_path / "pack_age/__init__.py").write_text("")
    (tmp_path / "pack_age/agent.py").write_text("from drawing_agents import Drawing\nclass Mine(Drawing):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    study = study_of("dense", f"{agents}Drawing", "pack_age.agent:Mine")
    ids = [[run.id for run in group] for group in study.groups()]
    moved, files = pack(study)
    assert {name for name in files if name.startswith("folder0")} == {
        *("folder0/drawing_agents.py", "folder0/drawn_beside.py"),
        *("folder0/pack_age/__init__.py", "folder0/pack_age/agent.py"),
    }
    assert {name for name in files if name.startswith("modules/pack")} == {
        *("modules/pack_age/__init__.py", "modules/pack_age/agent.py")
    }
    assert moved.methods == ("dense", "folder0/drawing_agents.py:Drawing", "pack_age.agent:Mine")
    for file in tmp_path.glob("*.py"):
        file.unlink()
    lay(files, tmp_path / "there")
    assert [[run.id for run in group] for group in moved.arrived(tmp_path / "there").groups()] == ids
    for name in ("pack_age", "pack_age.agent"):
        sys.modules.pop(name)


def test_what_is_another_run_elsewhere_is_refused():
    study = study_of("dense")
    (runs,) = study.groups()
    job = Job(study, 0, tuple(run.id for run in runs), Path("far"), False, 0)
    assert job.among(study.cells()) == runs
    with pytest.raises(AgentError, match=r"another run here .* or bring the same data here\. .* has live=7"):
        job.among(study_of("dense", axes={"live": [1.0, 7]}).cells())
