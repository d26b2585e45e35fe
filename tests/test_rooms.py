"""Who may import whom, what ships, and what importing loads."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = {"errors", "files", "plain", "streams", "learner", "env"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "plain": {"errors"},
    "streams": {"errors"},
    "learner": {"errors", "files"},
    "env": CORE - {"env"},
    "agents": CORE,
    "avalanche": CORE,
    "scenarios": CORE | {"avalanche"},
    "study": CORE | {"agents", "scenarios", ""},
    "cli": {"errors", "plain", "agents", "study"},
    "__main__": {"cli"},
    "": CORE | {"scenarios"},  # plastic_env/__init__.py
}
PURE = {"stats", "plots"}  # of study: neither torch nor the core, but its errors


def sources():
    for folder, prefix in (("plastic_env", ""), ("agents", "agents."), ("scenarios", "scenarios.")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = prefix + ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
            yield name.removesuffix("__init__").removesuffix("."), path


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: use absolute imports"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "plastic_env")


@pytest.mark.parametrize(("name", "path"), list(sources()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_run_one_way(name, path):
    room = name.split(".")[0]
    for module in imported(path):
        top, _, inside = module.partition(".")
        assert top not in {"agents", "scenarios"}, f"{path}: import plastic_env.{top}"
        if top == "plastic_env":
            target = inside.split(".")[0]
            known = target if target in MAY_IMPORT else ""
            assert known == room or known in MAY_IMPORT[room], f"{path}: {room} must not import {module}"
    if room == "study" and PURE & set(name.split(".")):
        allowed = ("plastic_env.errors", *(f"plastic_env.study.{part}" for part in PURE))
        core = {m for m in imported(path) if m.split(".")[0] in {"torch", "plastic_env"} and not m.startswith(allowed)}
        assert not core, f"{path} must not import {core}"


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, plastic_env, plastic_env.agents.learned.ppo, plastic_env.agents.learned.cma;"
        "heavy = 'avalanche', 'matplotlib', 'mnist1d', 'PIL', 'scipy', 'sklearn', 'pandas', 'pyarrow', 'torchvision';"
        "heavy += 'stable_baselines3', 'cmaes', 'imageio_ffmpeg';"
        "print([m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    code = "import sys, plastic_env.study.runner; print([m for m in ('ray', 'wandb', 'avalanche') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_wheel_holds_agents_and_scenarios_inside_the_package(tmp_path):
    checkout = tmp_path / "checkout"
    ignore = shutil.ignore_patterns(".*", "build", "results", "*.egg-info", "__pycache__", "tests", "docs")
    shutil.copytree(ROOT, checkout, ignore=ignore)
    build = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=checkout, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    expected = {
        f"plastic_env/{path.relative_to(ROOT).as_posix()}"
        for folder in ("agents", "scenarios")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert expected <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "plastic_env",
        next(n.split("/")[0] for n in names if "dist-info" in n),
    }
    # and it runs from there, away from the checkout
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import plastic_env, plastic_env.agents.learned.ppo, plastic_env.scenarios, gymnasium;"
        "print(plastic_env.agents.learned.__file__);"
        "env = gymnasium.make('plastic_env/PermutedDigits-small-v0', tasks=2); env.reset(seed=0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(str(site))


def test_works_from_the_checkout_without_being_on_the_path_twice(tmp_path):
    """agents/ and scenarios/ of the user's own, in the folder where they work, get in nobody's way."""
    for folder in ("agents", "scenarios"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    code = "import plastic_env.agents, plastic_env.scenarios; print(len(plastic_env.agents.METHODS))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
