"""What is released is whole, and says the same everywhere."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import plastic_env

ROOT = Path(__file__).parent.parent
FOLDERS = ("plastic_env", "agents", "scenarios", "benchmarks", "docs", "examples", "tests")
FILES = (
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
)


def test_versions_agree():
    (project,) = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    (citation,) = re.findall(r"^version: (.*)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    latest = re.search(r"^## (\d+\.\d+\.\d+) \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert project == citation == latest == plastic_env.__version__


def test_sdist_holds_all_that_is_kept(tmp_path):
    checkout = tmp_path / "checkout"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, checkout / name)
    for name in (*FILES, "MANIFEST.in"):
        shutil.copy(ROOT / name, checkout)
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    arguments = [sys.executable, "-c", build, str(tmp_path)]
    subprocess.run(arguments, cwd=checkout, capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    made = {"__pycache__", "_build", "modules"}  # of others
    files = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = {path.as_posix() for path in files if not made & set(path.parts)}
    assert kept
    assert kept <= held
    assert set(FILES) <= held
    assert not [name for name in held if name.endswith(".pyc")]
