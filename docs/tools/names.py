"""The tables of everything that has a name: `python docs/tools/names.py` writes docs/reference/*.md anew.

They follow from the name tables and the docstrings; `tests/test_docs.py` fails when they don't.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from types import ModuleType

import plastic_env.avalanche.metrics as avalanche_metrics
from plastic_env.agents.learned.policy import HEADS
from plastic_env.agents.learned.policy import KINDS as LEARNED
from plastic_env.env import encoding
from plastic_env.learner import diagnostics
from plastic_env.learner.allocation import BIASES
from plastic_env.learner.edits import KINDS
from plastic_env.scenarios import SCENARIOS
from plastic_env.scenarios.mixed import KINDS as SHIFTS
from plastic_env.scenarios.mixed import SPLITS
from plastic_env.study import measures, plots, stats
from plastic_env.study.catalogue import line, listed
from plastic_env.study.claims.beyond import QUESTIONS
from plastic_env.study.claims.paper import CLAIMS
from plastic_env.study.claims.protocol import INTERVENTIONS, SIZES
from plastic_env.study.costs import KINDS as COSTS

FOLDER = Path(__file__).parents[1] / "reference"
NOTE = "<!-- written by docs/tools/names.py: change what it is written from, and run that -->\n\n"
Rows = Iterable[tuple[str, ...]]

RULES = {
    "Which units": ("grow_rule", "prune_rule", "recycle_rule"),
    "How newborns enter": ("insertion", "optimizer_state", "trainability"),
    "What weights return to": ("rewind",),
    "Networks": ("activation", "norm", "init", "loss"),
    "Optimizers, and maintenance between edits": ("optimizer", "maintenance"),
    "Episodes": ("boundaries", "tests", "reward", "illegal", "colour"),
    "Studies": ("weights", "backend", "track"),
}
USED = {
    "grow_rule": "A field of edits and actions: dormant units worth most are grown",
    "prune_rule": "Likewise: live units worth least go",
    "recycle_rule": "Likewise: live units worth least are replaced",
    "insertion": "A field of edits and actions: the weights that newborns enter with",
    "optimizer_state": "Likewise: what their optimizer state starts as",
    "trainability": "Likewise: how fast newborns and incumbents learn for a while",
    "rewind": "A field of edits and actions",
    "activation": "A setting of the learner",
    "norm": "A setting of the learner: what normalises pre-activations",
    "init": "A setting of the learner: what initial weights are drawn from",
    "loss": "Follows from the stream",
    "optimizer": "A setting of the learner; options by name, as in `dense+optimizer=sgd+lr=0.1`",
    "maintenance": "A setting of the learner: `LearnerSettings(maintenance=(L2Init(),))`",
    "boundaries": "A setting of episodes",
    "tests": "A setting of episodes, and `--tests`",
    "reward": "An argument of the environment; any function of an `Outcome` is one, too",
    "illegal": "An argument of the environment: what becomes of counts that are not possible",
    "colour": "An argument of the environment, and `watch --colour`",
    "weights": "`plastic-env ticket --weights`",
    "backend": "`plastic-env run --backend`: where groups of runs are run",
    "track": "`plastic-env run --track`: where else curves are kept",
}


def pages() -> dict[str, str]:
    """The pages by file name."""
    return {
        "methods.md": _methods(),
        "scenarios.md": _scenarios(),
        "rules.md": _rules(),
        "data.md": _data(),
        "observations.md": _observations(),
        "measures.md": _measures(),
        "claims.md": _claims(),
        "pictures.md": _pictures(),
    }


def _methods() -> str:
    rows = [(f"`{name}`", summary) for name, summary in listed("methods") if not summary.startswith("offered by")]
    learned = [(f"`{name}:FILE`", said) for name, said in LEARNED.items()]
    return (
        "# Methods\n\n"
        "A method is an agent and the settings of the learner that it edits; `plastic-env compare --methods NAME ...` "
        "takes any of them. Those that\ngrow or prune to a target end at half of the slots, by default in the first "
        "half of the stream. Each agent is a dataclass whose fields\nare its options "
        "([`structural.py`](../../agents/structural.py), [`responsive.py`](../../agents/responsive.py), "
        "[`looking.py`](../../agents/looking.py),\n[`integration.py`](../../agents/integration.py), "
        "[`resets.py`](../../agents/resets.py)): other insertion, optimizer-state, selection and\n"
        "trainability [rules](rules.md) are one option each. Methods that act at every update are settings of the "
        "learner,\n`LearnerSettings(maintenance=(L2Init(1e-2),))`, and `python benchmarks/maintenance.py` prints what "
        "they cost.\nHow all of them do on three streams: [results](../results/methods_compared.md).\n\n"
        + _table(("method", "what it does"), rows)
        + "\nMethods whose names end in `_recycle` replace units at constant width, at the moments at which those "
        "without would grow.\n\n## Learned policies\n\n" + _table(("written", "what the file holds"), learned)
    )


def _scenarios() -> str:
    parts = []
    for module, group in groupby(SCENARIOS.items(), lambda item: type(item[1]).__module__):
        streams = list(group)
        family = module.rpartition(".")[2]
        about = {name: said for name, said in listed("scenarios") if name in dict(streams)}
        rows = [(f"`{name}`", re.search(r"\(([^()]*)\)$", said)[1]) for name, said in about.items()]
        parts.append(
            f"## `{family}`\n\n{line(streams[0][1])}. [Source and settings](../../scenarios/{family}.py).\n\n"
            + _table(("stream", "settings"), rows)
        )
    return (
        "# Scenarios\n\n"
        "Every family of streams is one file in `scenarios/`: a frozen dataclass whose fields are all that there is to "
        "set, with the protocol's\nsource. `-small` streams run on embedded data in a minute or two; `-paper` streams "
        "have the published sizes, and need their data; where\nsomething else differs, the family's file says so. "
        "[How to use them](../howto/streams.md); [what the small ones show](../results/scenarios.md).\n\n"
        + "\n".join(parts)
        + "\n## Of mixed shifts\n\n"
        + _table(("kind of shift, or split", "what it is"), _quoted({**SHIFTS, **SPLITS}))
        + "\nAvalanche's classic benchmarks are scenarios, too: `avalanche:SplitMNIST`.\n"
    )


def _rules() -> str:
    by_field: dict[str, list[tuple[str, ...]]] = {}
    for name, said in listed("rules"):
        field, _, rule = name.partition("=")
        by_field.setdefault(field, []).append((f"`{rule}`", said))
    parts = []
    for title, fields in RULES.items():
        parts.append(f"## {title}\n")
        parts += [
            f"### `{field}`\n\n{USED[field]}.\n\n" + _table(("name", "what it does"), by_field.pop(field))
            for field in fields
        ]
    assert not by_field, f"RULES and USED of {__file__} lack {', '.join(by_field)}"
    more = [(f"`{name}`", ", ".join(map(str, shares))) for name, shares in BIASES.items()]
    return (
        "# Rules and choices\n\n"
        "Whatever is chosen by a name. `plastic-env show NAME` prints all that is known of one, with its source and "
        "its settings;\nfunctions and objects of your own may stand where a name is expected, unless they have to be "
        "kept in a file.\n\n"
        + "\n".join(parts)
        + "\n## Elsewhere\n\n### `bias` of `allocate`\n\nWhat layers get of a budget of weights.\n\n"
        + _table(("name", "factors of the shares of three layers"), more)
        + "\n### `head` of learned policies\n\n"
        + _table(("name", "what it is"), _quoted(HEADS))
    )


def _data() -> str:
    return (
        "# Data sets\n\n"
        "The setting `data` of a scenario. [Where they are looked for](../howto/streams.md#data).\n\n"
        + _table(("name", "what it is"), _quoted(dict(listed("data"))))
    )


def _observations() -> str:
    actions = [
        *((f"`{kind}`", "units in each editable layer, or one number for all") for kind in KINDS),
        *(
            (f"`{field}`", "one of " + ", ".join(f"`{name}`" for name in names))
            for field, names in encoding.RULE_FIELDS.items()
        ),
        *((f"`{switch}`", "yes or no") for switch in encoding.SWITCHES),
        ("`budget`", "updates to train, from 1 to `max_budget`"),
    ]
    return (
        "# Observations and actions\n\n"
        'Observations are float32 in [-1, 1]: `"global"` [fields] and `"layers"` [editable layers, fields].\n'
        "`global_field(observation, name)` and `layer_field(observation, name)` pick by name.\n\n## Global fields\n\n"
        + _table(("field", "what it is"), _commented("GLOBAL_FIELDS"))
        + "\n## Fields of each editable layer\n\n"
        + _table(("field", "what it is"), _commented("LAYER_FIELDS"))
        + "\n## Actions\n\n`episode.action(budget, **fields)` builds one, and leaves at rest what is not named.\n\n"
        + _table(("field", "values"), actions)
        + "\n[Rules](rules.md) says what these names mean.\n"
    )


def _measures() -> str:
    metrics = [name for name, thing in vars(avalanche_metrics).items() if _is_metric(thing)]
    return (
        "# Measures\n\n## Of units, on a probe batch\n\n"
        + _functions(diagnostics)
        + "\n## Of results, for pictures and tables\n\n"
        + _functions(measures)
        + "\n## Costs\n\nWhat budgets are counted in.\n\n"
        + _table(("name", "what it is"), _quoted(COSTS))
        + "\n## Statistics\n\nArrays in, arrays and named tuples out.\n\n"
        + _functions(stats)
        + "\n## As metrics of Avalanche\n\n"
        + _table(("metric", "what it is"), _lines(avalanche_metrics, metrics))
    )


def _claims() -> str:
    asked = {name: claim.says for name, claim in {**CLAIMS, **QUESTIONS}.items()}
    sizes = {name: protocol.says for name, protocol in SIZES.items()}
    interventions = [(f"`{name}`", f"`grow{re.sub('[{}]', '', options)}`") for name, options in INTERVENTIONS.items()]
    return (
        "# Claims\n\n`plastic-env reproduce CLAIM ... --size SIZE` runs what a claim of arXiv 2605.15435 needs, and "
        "judges it.\n[What came of it](../results/claims/index.md).\n\n"
        + _table(("name", "the claim, or a question that the paper leaves open"), _quoted(asked))
        + "\n## Sizes\n\n"
        + _table(("size", "what is run"), _quoted(sizes))
        + "\n## Interventions\n\n"
        + _table(("the paper's", "as a method"), interventions)
        + "\nWhere a cycle has at most 1,955 updates, `two_speed_brief` stands for `two_speed`, which would last for "
        "all of it.\n"
    )


def _pictures() -> str:
    return (
        "# Pictures\n\nWhat each is drawn of, and how: [pictures of a study](../howto/pictures.md).\n\n"
        + _functions(plots)
    )


def _functions(module: ModuleType) -> str:
    """A table of a module's public functions: those that it lists or, if it lists none, that it defines."""
    names = getattr(module, "__all__", None) or [
        name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__
    ]
    wanted = [name for name in names if name[0] != "_" and inspect.isfunction(getattr(module, name))]
    return _table(("function", "what it is"), _lines(module, wanted))


def _lines(module: ModuleType, names: Iterable[str]) -> Rows:
    return [(_link(getattr(module, name)), line(getattr(module, name))) for name in names]


def _link(thing: Callable[..., object]) -> str:
    """To the source; the site makes it one to the reference."""
    path = Path(inspect.getfile(thing)).resolve().relative_to(FOLDER.parents[1])
    return f"[`{thing.__name__}`](../../{path.as_posix()})"


def _is_metric(thing: object) -> bool:
    named = inspect.isclass(thing) and thing.__module__ == avalanche_metrics.__name__ and thing.__name__[0] != "_"
    return named and not thing.__doc__.startswith("Base of ")


def _commented(name: str) -> Rows:
    """The elements of a tuple of names, with the comment behind each."""
    text = inspect.getsource(encoding)
    block = re.search(rf"^{name} = \((.*?)^\)", text, re.DOTALL | re.MULTILINE)[1]
    return [(f"`{field}`", said) for field, said in re.findall(r'"(\w+)",  # (.*)', block)]


def _quoted(table: Mapping[str, str]) -> Rows:
    return [(f"`{name}`", said) for name, said in table.items()]


def _table(heads: tuple[str, ...], rows: Rows) -> str:
    cells = [heads, ("---",) * len(heads), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


if __name__ == "__main__":
    for file, text in pages().items():
        FOLDER.joinpath(file).write_text(NOTE + text)
