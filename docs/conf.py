"""The site: `make docs` builds it, without a network, and takes warnings for errors."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "tools")]

import docstrings  # noqa: E402
import modules  # noqa: E402

import plastic_env  # noqa: E402

project = "plastic_env"
version = release = plastic_env.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["tools", "_build"]
root_doc = "index"

html_theme = "furo"  # fonts are the reader's own; nothing is fetched from anywhere
html_title = "plastic_env"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
suppress_warnings = ["myst.header"]  # measured tables are printed below headings of their own depth

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False  # modules' pages begin with a list of what is in them

_LINK = re.compile(r"\]\(((?:\.\./)+[\w/]+\.py)\)")


def _link_to_reference(app: Any, name: str, source: list[str]) -> None:
    """Links to a module's file lead to its page in the reference, and [`name`](file) to that name."""

    def target(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(name), found[1]))
        module = modules.of_file(path)
        if module is None:
            return found[0]
        called = re.search(r"\[`([\w.]+)`$", source[0][: found.start()])
        known = app.env_targets.get(f"{module}.{called[1]}") if called else None
        return f"](#{known or module})"

    source[0] = _LINK.sub(target, source[0])


def _explain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = docstrings.as_rst(lines, modules.described(thing), app.env_targets)


def _skip(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """The fields of named tuples, whose docstrings are made up, unless the class explains them itself."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app: Any) -> None:
    """Make the reference and connect what shapes its pages."""
    modules.write_pages(DOCS / "reference" / "modules")
    app.env_targets = modules.targets()
    app.connect("source-read", _link_to_reference)
    app.connect("autodoc-process-docstring", _explain)
    app.connect("autodoc-skip-member", _skip)
