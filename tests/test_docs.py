"""The documentation is complete, is true to the code, and is built from it without a network."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from plastic_env.agents import METHODS
from plastic_env.scenarios import SCENARIOS
from plastic_env.study import plots, stats
from plastic_env.study.description import tomllib

pytest.importorskip("stable_baselines3")  # all modules are imported here, and one needs it

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.relative_to(ROOT).parts)
sys.path.append(str(DOCS / "tools"))
modules, names = (importlib.import_module(name) for name in ("modules", "names"))
sys.path.append(str(DOCS / "drawings"))
draw = importlib.import_module("draw")

TABLES = "".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
SOURCES = [path for folder in modules.FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
UNLISTED = {  # tables of names that nobody chooses from
    "plastic_env.learner.normalisation.STATISTICS",
    "plastic_env.scenarios.data.libraries.FIXED",
    "plastic_env.scenarios.data.libraries.MODULES",
    "plastic_env.study.film.REELS",
    "plastic_env.study.plots.parity.QUADRANTS",
}


def defined(path):
    """Every public class, function, method and property of a file, with its class if it has one, and the file's own
    docstring."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_":
            yield node, None, ast.get_docstring(tree)
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, ast.FunctionDef) and part.name[0] != "_":
                    yield part, node, ast.get_docstring(tree)


def fields(node):
    """Its annotated attributes; `metadata` is Gymnasium's."""
    named = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    return [part for part in named if part.target.id[0] != "_" and part.target.id != "metadata"]


def raised(node):
    """The errors that a function raises itself, and those of a class's making of its objects."""
    makers = {"__init__", "__post_init__"}
    parts = [p for p in node.body if getattr(p, "name", "") in makers] if isinstance(node, ast.ClassDef) else [node]
    for part in (part for outer in parts for part in ast.walk(outer)):
        if isinstance(part, ast.Raise) and part.exc is not None:
            name = ast.unparse(part.exc.func if isinstance(part.exc, ast.Call) else part.exc)
            if name[0].isupper() and name not in {"NotImplementedError", "AssertionError", "AttributeError"}:
                yield name
        elif isinstance(part, ast.Call) and ast.unparse(part.func) == "look_up":
            yield "UnknownName"


def arrays(node):
    """Whether a function takes or gives arrays."""
    hints = [node.returns, *(arg.annotation for arg in (*node.args.args, *node.args.kwonlyargs))]
    return any(re.search("Tensor|ndarray", ast.unparse(hint)) for hint in hints if hint is not None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_say_what_they_are(path):
    text = path.read_text().splitlines()
    missing = []
    for node, kind, above in defined(path):
        own = ast.get_docstring(node) or ""
        said = own + (ast.get_docstring(kind) or "" if kind else "")
        name = f"{kind.name}.{node.name}" if kind else node.name
        missing += [] if own else [f"{name} has no docstring"]
        missing += [f"{name}: {error} is not named" for error in set(raised(node)) if error not in said]
        if isinstance(node, ast.FunctionDef):
            if arrays(node) and "[" not in said + (above or ""):
                missing.append(f"{name}: no shapes of its arrays")
            continue
        for field in fields(node):
            described = re.search(rf"\b{field.target.id}\b", own) or "#: " in text[field.end_lineno - 1]
            missing += [] if described else [f"{name}: nothing about {field.target.id}"]
    assert not missing, f"{path}:\n" + "\n".join(missing)


def tables():
    """Every table of names that a module holds, once."""
    found = {}
    for module in map(importlib.import_module, modules.names()):
        for name, table in vars(module).items():
            full = f"{module.__name__}.{name}"
            if name.isupper() and name[0] != "_" and isinstance(table, Mapping) and full not in UNLISTED:
                found.setdefault(id(table), pytest.param(table, id=full))
    return list(found.values())


@pytest.mark.parametrize("table", tables())
def test_names_of_tables_are_listed(table):
    unlisted = [name for name in table if not re.search(rf"`{re.escape(str(name))}(`|:)", TABLES)]
    assert not unlisted


@pytest.mark.parametrize("name", [*METHODS, *SCENARIOS])
def test_methods_and_scenarios_are_listed(name):
    assert f"| `{name}` |" in TABLES


@pytest.mark.parametrize("module", [plots, stats], ids=["plots", "stats"])
def test_plots_and_statistics_are_listed(module):
    functions = [name for name in module.__all__ if inspect.isfunction(getattr(module, name))]
    assert functions
    assert all(f"| [`{name}`](" in TABLES for name in functions)


@pytest.mark.parametrize("file", names.pages())
def test_tables_are_those_of_the_code(file):
    assert (names.FOLDER / file).read_text() == names.NOTE + names.pages()[file], "run python docs/tools/names.py"


def test_extras_are_listed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (DOCS / "start" / "install.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(extras)


@pytest.mark.parametrize("drawing", draw.DRAWINGS, ids=lambda drawing: drawing.__name__)
def test_drawings_are_those_of_their_script(drawing):
    assert (draw.HERE / f"{drawing.__name__}.svg").read_text() == drawing(), "run python docs/drawings/draw.py"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", ["start/first_study.md", "concepts/parity.md"])
def test_code_of_pages_runs(page, tmp_path):
    text = (DOCS / page).read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    # in a process of its own, as one that has just begun
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    printed = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for expected in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
        words, numbers = (re.compile(form) for form in (r"[a-z ]+", r"\d\.\d"))
        assert words.findall(printed) == words.findall(expected)
        found, said = (list(map(float, numbers.findall(shown))) for shown in (printed, expected))
        assert found == pytest.approx(said, abs=0.15)  # other processors round differently


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    for library in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(library)
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run([*build, str(DOCS), str(tmp_path / "html")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "html").rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*src=\"([^\"]+)|<link[^>]*href=\"([^\"]+)", page.read_text())
        assert not [url for pair in loaded for url in pair if "//" in url], page
    for style in (tmp_path / "html").rglob("*.css"):
        assert not re.search(r"url\(\W*(https?:)?//", style.read_text()), style
