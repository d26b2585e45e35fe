"""Results to report on, and a reader of pages."""

import json
import shutil
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet as pq
import pytest

from plastic_env import SGD, LearnerSettings
from plastic_env.agents import METHODS, Method
from plastic_env.agents.structural import NoEdit, Recycle
from plastic_env.study.results import read_result
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

HOSTILE = '<b>&"x'  # a method's name
SCENARIO = "PermutedDigits-small-v0"
SEEDS = (0, 1, 2, 3)
VOID = {"meta", "img", "br"}


class Broken:
    def reset(self, episode, seed):
        raise RuntimeError("no <idea>")

    def act(self, observation, info):
        raise NotImplementedError


def failing_study(where):
    """Four methods on a scenario at two strengths; one fails, one diverges."""
    methods = {
        HOSTILE: Method("", Recycle),
        "broken": Method("", Broken),
        "wild": Method("", NoEdit, LearnerSettings(optimizer=SGD(1e9))),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, method in methods.items():
            patch.setitem(METHODS, name, method)
        for strength, names in ((1.0, ("dense", *methods)), (0.5, ("dense", HOSTILE))):
            changes = (("tasks", 5), ("updates", 20), ("strength", strength))
            run_study(Study(SCENARIO, names, SEEDS, changes), where, show_progress=False)
    return where


def copied(folder, where, *patterns):
    for pattern in patterns:
        for path in folder.glob(pattern):
            shutil.copy(path, where)


def changed(path, where, **settings):
    """A copy of a result with other settings."""
    table = pq.read_table(path)
    known = read_result(path).settings
    pq.write_table(table.replace_schema_metadata({b"plastic_env": json.dumps({**known, **settings})}), where)


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
