"""Make a page of a tutorial: run its cells in one process, and set down prose, code, what was printed, and pictures.

    python examples/tutorials/weave.py            # all of them, into docs/tutorials
    python examples/tutorials/weave.py 6 --out /tmp

A tutorial is a script whose cells begin with `# %%`; in those that begin with `# %% [markdown]` all lines are comments.
Editors show it as a notebook, and `python` runs it: `plt.show()` then opens windows, and here it adds to the page.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib

HERE = Path(__file__).parent
PAGES = HERE.parent.parent / "docs" / "tutorials"
PROSE = "# %% [markdown]"


def weave(script: Path, folder: Path = PAGES) -> dict[str, Any]:
    """Run a tutorial in an empty folder, write its page and pictures to `folder`, and return its variables."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[str] = []
    with _as_main(script) as main, _pictures(folder.resolve(), script.stem) as pictures:
        for cell, first in cells(script.read_text()):
            if cell[0] == PROSE:
                parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in cell[1:]))
                continue
            seen, printed, code = len(pictures), io.StringIO(), "\n".join(cell[1:])
            with redirect_stdout(printed):
                exec(compile("\n" * first + code, script, "exec"), vars(main))
            parts.append(f"```python\n{code}\n```")
            if printed.getvalue():
                parts.append(f"```text\n{printed.getvalue().rstrip()}\n```")
            parts += [f"![{script.stem}]({picture})" for picture in pictures[seen:]]
        made = f"`python examples/tutorials/weave.py {script.stem[0]}` made this page from `{script.name}`."
        (folder.resolve() / f"{script.stem}.md").write_text("\n\n".join([*parts, made]) + "\n")
        return dict(vars(main))


def cells(text: str) -> Iterator[tuple[list[str], int]]:
    """Each cell's lines, from its mark on and without empty ones at the end, and the number of the first, from 1."""
    lines = text.splitlines()
    marks = [at for at, line in enumerate(lines) if line.startswith("# %%")]
    for mark, following in zip(marks, [*marks[1:], len(lines)], strict=True):
        yield "\n".join(lines[mark:following]).rstrip().splitlines(), mark + 1


def tutorials() -> list[Path]:
    """All there are, in their order."""
    return sorted(HERE.glob("[0-9]_*.py"))


@contextmanager
def _as_main(script: Path) -> Iterator[ModuleType]:
    """What runs is the main module, as when `python` runs it, in a folder of its own."""
    main, home = ModuleType("__main__"), os.getcwd()
    main.__file__ = str(script.resolve())
    before, sys.modules["__main__"] = sys.modules["__main__"], main
    try:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            try:
                yield main
            finally:
                os.chdir(home)
    finally:
        sys.modules["__main__"] = before


@contextmanager
def _pictures(folder: Path, stem: str) -> Iterator[list[str]]:
    """The names of the files that `plt.show()` writes meanwhile."""
    from matplotlib import pyplot as plt

    matplotlib.use("Agg")
    names: list[str] = []

    def show() -> None:
        for number in plt.get_fignums():
            names.append(f"{stem}-{len(names) + 1}.png")
            plt.figure(number).savefig(folder / names[-1], dpi=90, bbox_inches="tight")
        plt.close("all")

    shown, plt.show = plt.show, show
    try:
        yield names
    finally:
        plt.show = shown
        plt.close("all")


def main() -> None:
    """Weave those that are asked for."""
    parser = argparse.ArgumentParser(description="Run tutorials, and make their pages.")
    parser.add_argument("numbers", nargs="*", metavar="N", help="which (default: all)")
    parser.add_argument("--out", type=Path, default=PAGES, metavar="DIR", help="where to (default: docs/tutorials)")
    asked = parser.parse_args()
    numbers = [script.stem[0] for script in tutorials()]
    for number in asked.numbers:
        if number not in numbers:
            parser.error(f"there is no tutorial {number!r}; give any of {', '.join(numbers)}.")
    for script in tutorials():
        if not asked.numbers or script.stem[0] in asked.numbers:
            weave(script, asked.out)
            print(asked.out / f"{script.stem}.md")


if __name__ == "__main__":
    main()
