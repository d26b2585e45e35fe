"""The code of the README and of the pages it leads to runs, and its tables are those of the code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from plastic_env import Population
from plastic_env.agents import DEMO, METHODS
from plastic_env.cli import main
from plastic_env.study.description import from_plain, tomllib

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_first_example_runs(capsys):
    exec(compile(blocks("README.md")[0], "README.md", "exec"), {})
    found = re.fullmatch(r"mean online accuracy (0\.\d\d), live units \[64 64\]\n", capsys.readouterr().out)
    assert float(found[1]) > 0.6


def test_example_study_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "start" / "first_study.md").read_text()
    Path("study.toml").write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    small = ["--seeds", "1", "--set", "tasks=3", "updates=4", "--tune-seeds", "9-9", "--threads", "1"]
    assert main(["run", "study.toml", *small]) == 0
    table = capsys.readouterr().out
    assert re.findall(r"strength=1.0  (\S+) +1 +0 +0\n", table)[-3:] == ["dense", "recycle", "grow+events=5"]
    assert table.count("note: ") == 2 * 2 * 3  # scenarios, strengths, methods
    assert main(["status", "results/study"]) == 0


def test_example_study_of_its_page_is_one():
    page = (ROOT / "docs" / "howto" / "studies.md").read_text()
    study = from_plain(tomllib.loads(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]), "the page")
    assert len(study.cells()) == 2 * 2 * 3 * 2


def test_example_agent_of_its_page_runs(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "howto" / "agents.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    command = re.search(r"^plastic-env (compare --methods mine.py:.*)$", page, re.MULTILINE)[1].split()
    assert main([*command, "--tasks", "8", "--set", "updates=20", "--seeds", "2", "--threads", "1"]) == 0
    table = capsys.readouterr().out
    # from a quarter of the slots, by 4 or by 8 at each of the first shifts
    assert 16 < width(table, "Watchful") < width(table, r"Watchful\+step=8") <= 64


def width(table, method):
    return float(re.search(rf"^{method} .* (\d+\.\d)  ", table, re.MULTILINE)[1])


def test_example_of_forks_runs(capsys):
    exec(compile(blocks("docs/howto/edits.md")[0], "edits.md", "exec"), {})
    assert re.findall(r"newborns (.*)", capsys.readouterr().out) == ["(0, 0)", "(16, 16)", "(16, 16)"]


def test_example_network_is_possible():
    scope = {}
    exec(compile(blocks("docs/howto/edits.md")[1], "edits.md", "exec"), scope)
    population = Population(1, (3, 32, 32), 10, scope["learner"])
    assert population.capacity == (512, 512, 256)


def test_example_with_avalanche_runs():
    # in a process of its own: Avalanche's loggers write to what was the output when it was imported
    env, code = {**os.environ, "OMP_NUM_THREADS": "1"}, "\n".join(blocks("docs/howto/avalanche.md"))
    log = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert log.startswith("3 experiences\n300 updates\n")
    assert 0.5 < float(re.search(r"relative plasticity (\d\.\d\d)\n", log)[1]) < 2
    for name in ("RelativePlasticity", "DormantFraction_Layer0", "GradientParity_Layer0"):
        assert f"{name}_Epoch/train_phase/train_stream/Task003 = " in log


def test_example_film_is_made(tmp_path):
    page = (ROOT / "docs" / "howto" / "watching.md").read_text()
    command = re.search(r"^plastic-env (watch .*--out )docs/life.gif$", page, re.MULTILINE)[1].split()
    assert main([*command, str(tmp_path / "life.gif"), "--set", "tasks=2", "updates=30"]) == 0
    with Image.open(tmp_path / "life.gif") as made, Image.open(ROOT / "docs" / "life.gif") as shown:
        assert (made.size, made.n_frames) == (shown.size, shown.n_frames)


@pytest.mark.parametrize("name", DEMO)
def test_methods_of_the_demo_are_listed(name):
    assert f"| `{name}` | {METHODS[name].summary} |" in TEXT
