"""HTML, made of elements. Every text is escaped, unless it is `Html` already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_EMPTY = ("br", "img", "input", "meta")  # elements that hold nothing


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *parts: object, **attributes: object) -> Html:
    """`<name attributes>parts</name>`.

    attributes: `class_` stands for class, `data_value` for data-value; True writes the name alone, False and None
        nothing.
    """
    written = [
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    ]
    start = f"<{name}{''.join(written)}>"
    return Html(start if name in _EMPTY else f"{start}{joined(*parts)}</{name}>")


def joined(*parts: object) -> Html:
    """All parts in a row; None is nothing."""
    return Html("".join(p if isinstance(p, Html) else escape(str(p)) for p in parts if p is not None))


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    text: what it shows; fine: in smaller letters below it. value: what it is sorted by; None: by its text, NaN: last.
    best: whether it stands out.
    """

    text: object
    fine: str = ""
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table.

    name: its head. meaning: in words. numeric: whether it holds numbers.
    """

    name: str
    meaning: str = ""
    numeric: bool = True


def table(caption: object, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Html:
    """A table whose columns sort on a click, and what these mean; the first cell of a row names it. It scrolls where it
    is too wide."""
    heads = [
        element(
            "th",
            element("button", column.name, type="button", title=column.meaning or None),
            scope="col",
            class_="number" if column.numeric else None,
        )
        for column in columns
    ]
    body = [element("tr", *map(_cell, columns, row, range(len(row)))) for row in rows]
    whole = element(
        "table",
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        class_="sortable",
    )
    frame = element("div", whole, class_="scroll", tabindex=0, role="region", aria_label="table")
    return joined(element("p", caption, class_="caption"), frame, _meanings(columns))


def _meanings(columns: Sequence[Column]) -> Html | None:
    """What columns mean, for those who can't hover over their names."""
    told = [element("li", element("b", column.name), f": {column.meaning}") for column in columns if column.meaning]
    return element("details", element("summary", "What the columns mean"), element("ul", *told)) if told else None


def _cell(column: Column, cell: Cell, at: int) -> Html:
    sorted_by = None if cell.value is None else f"{cell.value:.12g}" if math.isfinite(cell.value) else ""
    classes = " ".join(name for name, there in (("number", column.numeric), ("best", cell.best)) if there)
    fine = element("small", cell.fine) if cell.fine else None
    kind, scope = ("th", "row") if at == 0 else ("td", None)
    return element(kind, cell.text, fine, scope=scope, class_=classes or None, data_value=sorted_by)


@dataclass(frozen=True)
class Section:
    """A part of the page that folds.

    title: its head. body: what it shows. parts: of its own. open: whether it is unfolded at first.
    """

    title: str
    body: Html | None = None
    parts: Sequence[Section] = ()
    open: bool = True


def sections(parts: Sequence[Section], prefix: str = "part", level: int = 2) -> Html:
    """Sections and those within, each with an id by its place."""
    return joined(
        *(
            element(
                "details",
                element("summary", element(f"h{min(level, 6)}", part.title)),
                part.body,
                sections(part.parts, f"{prefix}-{at}", level + 1),
                id=f"{prefix}-{at}",
                class_=f"section level{level}",
                open=part.open,
            )
            for at, part in enumerate(parts, 1)
        )
    )


def contents(parts: Sequence[Section], prefix: str = "part") -> Html:
    """Links to all sections, as nested lists."""
    if not parts:
        return Html("")
    items = (
        element(
            "li",
            element("a", part.title, href=f"#{prefix}-{at}"),
            contents(part.parts, f"{prefix}-{at}"),
        )
        for at, part in enumerate(parts, 1)
    )
    return element("ul", *items)
