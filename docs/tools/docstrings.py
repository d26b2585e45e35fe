"""The project's docstrings as reStructuredText, so that Sphinx shows what they say.

They are plain text with `names` in backticks, tables as in Markdown, and lines such as "live: fraction of the slots"
for fields and arguments. Everything but that is taken literally.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

SECTIONS = ("Args", "Attributes", "Raises", "Returns")
_SPAN = re.compile(r"`([^`]+)`")
_ENTRY = re.compile(r"(?:^|(?<=[.;] ))([\w, ]+): ")
_MARKUP = re.compile(r"([\\*|_])")


def as_rst(lines: Iterable[str], names: Iterable[str], targets: Mapping[str, str]) -> list[str]:
    """A docstring's lines in reStructuredText.

    names: of the object's arguments or fields: entries that describe them become lists.
    targets: full names of what can be linked, by what docstrings call it.
    """
    known = set(names)
    made: list[str] = []
    for block in _blocks(lines):
        made += [*_block(block, known, lambda text: inline(text, targets)), ""]
    return made


def inline(text: str, targets: Mapping[str, str]) -> str:
    """A piece of a docstring that is in one line."""
    parts = _SPAN.split(text)
    return "".join(_code(part, targets) if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _block(block: list[str], names: set[str], show: Callable[[str], str]) -> list[str]:
    head = block[0].rstrip(":")
    if head in SECTIONS and block[0].endswith(":"):
        return _section(head, block[1:], names, show)
    if block[0].startswith(">>> "):
        return ["::", "", *(f"    {line}" for line in block)]
    if all(line.startswith("| ") for line in block):
        return _table(block, show)
    if block[0].startswith("    "):
        return ["::", "", *block]
    return _paragraph(block, names, show)


def _section(title: str, lines: list[str], names: set[str], show: Callable[[str], str]) -> list[str]:
    if title == "Returns":
        return [f"**{title}**: {show(' '.join(line.strip() for line in lines))}"]
    entries: list[str] = []
    for line in lines:
        if line.startswith("        ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    made = [f"**{title}**", ""]
    for entry in entries:
        pairs = _entries(entry, lambda name: name[0].isupper() if title == "Raises" else name in names)
        made += [f"* {_entry(name, text, show)}" for name, text in pairs]
    return made


def _paragraph(block: list[str], names: set[str], show: Callable[[str], str]) -> list[str]:
    """Text, then the entries for arguments or fields, if there are any."""
    pairs = _entries(" ".join(line.strip() for line in block), lambda name: name in names)
    if pairs[0][0] == "":
        text, *pairs = pairs
        made = [show(text[1])]
    else:
        made = []
    return [*made, *([""] if made and pairs else []), *(f"* {_entry(name, said, show)}" for name, said in pairs)]


def _entries(text: str, wanted: Callable[[str], bool]) -> list[tuple[str, str]]:
    """The text cut before every "name: " or "one, other: " of names that are wanted; what comes first has no name."""
    cuts = [found for found in _ENTRY.finditer(text) if all(map(wanted, found[1].split(", ")))]  # "NaN: ..." is none
    ends = [*(cut.start() for cut in cuts), len(text)]
    first = [("", text[: ends[0]].strip())] if ends[0] else []
    return first + [(cut[1], text[cut.end() : end].strip()) for cut, end in zip(cuts, ends[1:], strict=True)]


def _entry(name: str, text: str, show: Callable[[str], str]) -> str:
    return f"**{_escaped(name)}**: {show(text)}" if name else show(text)


def _table(block: list[str], show: Callable[[str], str]) -> list[str]:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block]
    made = [".. list-table::", "   :header-rows: 1", ""]
    for row in (rows[0], *rows[2:]):
        made += [f"   {'* -' if at == 0 else '  -'} {show(cell)}" for at, cell in enumerate(row)]
    return made


def _code(text: str, targets: Mapping[str, str]) -> str:
    # a backslash and a space end the markup whatever comes next, and are not shown
    target = targets.get(text)
    return f":py:obj:`{text} <{target}>`\\ " if target else f"``{text}``\\ "


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
