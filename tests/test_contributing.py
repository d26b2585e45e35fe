"""The recipes of CONTRIBUTING.md, carried out word for word in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_rooms import MAY_IMPORT

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^## Recipe: (.*?)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
IGNORED = shutil.ignore_patterns(".*", "build", "dist", "results", "*.egg-info", "__pycache__", "docs")


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=IGNORED)
    return tmp_path / "checkout"


def run(arguments, checkout, **given):
    env = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, cwd=checkout, env=env, text=True, capture_output=True, check=False, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def follow(recipe, checkout):
    """Write its files, apply its patches, run its commands; returns what these print."""
    printed, files = "", iter(re.findall(r"`([\w/]+\.py)`(?:[^`\n]*):\n\n```python", RECIPES[recipe]))
    for kind, text in re.findall(r"```(\w*)\n(.*?)```", RECIPES[recipe], re.DOTALL):
        if kind == "python":
            (checkout / next(files)).write_text(text)
        elif kind == "diff":
            run(["patch", "-p1", "--no-backup-if-mismatch"], checkout, input=text)
        else:
            for line in text.strip().splitlines():
                program, *words = line.split()
                start = {"plastic-env": [sys.executable, "-m", "plastic_env.cli"], "python": [sys.executable]}[program]
                printed += run([*start, *words], checkout)
    run([sys.executable, "-m", "ruff", "check", "."], checkout)
    return printed


def rows(table):
    return re.findall(r"^([\w+=.]+) +0\.\d{3} \[", table, re.MULTILINE)


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize("recipe", ["a scenario", "an agent", "a rule"])
def test_a_recipe_works(recipe, checkout):
    table = follow(recipe, checkout)
    expected = {
        "a scenario": ["dense", "reset", "recycle"],
        "an agent": ["renew", "renew+most=0.25", "recycle", "dense"],
        "a rule": ["recycle+recycle_rule=outgoing", "recycle"],
    }
    assert rows(table) == expected[recipe]
    if recipe == "a scenario":  # the tests that it says check it
        named = "MaskedDigits-small-v0"
        tests = ["tests/test_scenarios.py", "tests/test_envs.py", "-k", named, "-p", "no:cacheprovider"]
        assert re.search(r"\d+ passed", run([sys.executable, "-m", "pytest", *tests], checkout))


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
def test_the_recipe_of_a_plot_works(checkout):
    follow("a plot", checkout)
    assert (checkout / "width.png").stat().st_size > 5000


def test_all_recipes_are_tested():
    assert list(RECIPES) == ["a scenario", "an agent", "a rule", "a plot"]


def test_rooms_are_described_with_what_they_may_import():
    described = {}
    row = r"^\| `(?:plastic_env/)?(\w*)(?:/|\.py)`[^,|]*\|[^|]*\| ([^|]*)\|$"
    for room, allowed in re.findall(row, PAGE.replace("__init__.py", ".py"), re.MULTILINE):
        named = set(re.findall(r"`(\w+)`", allowed))
        described[room] = set(described) - named if "all above" in allowed else named
    assert described == MAY_IMPORT
    assert {path.parent.name for path in ROOT.glob("plastic_env/*/__init__.py")} < set(MAY_IMPORT)
