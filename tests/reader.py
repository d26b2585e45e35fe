"""Reads pages: that their tags are balanced, their attributes, their tables."""

from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np

VOID = {"meta", "img", "br"}


@dataclass
class Table:
    heads: list
    rows: list  # of cells: pairs of text and data-value


class Reader(HTMLParser):
    """Balance, attributes, tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.tables, self.cell, self.texts = [], [], [], None, {}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append(Table([], []))
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append(["", dict(attrs).get("data-value")])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> too many"
        assert self.open.pop() == tag
        if tag == "thead":
            self.tables[-1].heads = [cell[0] for cell in self.tables[-1].rows.pop()]

    def handle_data(self, data):
        self.texts[self.open[-1] if self.open else ""] = self.texts.get(self.open[-1] if self.open else "", "") + data
        if {"td", "th"} & set(self.open):
            self.tables[-1].rows[-1][-1][0] += data


def column(table, name, at=0):
    """The numbers of a column, by method."""
    place = [at for at, head in enumerate(table.heads) if head == name][at]
    return {row[0][0]: float(row[place][1]) if row[place][1] else np.nan for row in table.rows}


def with_head(page, name):
    return [table for table in page.tables if name in table.heads]
