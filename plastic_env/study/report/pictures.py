"""Pictures in a page: figures as images within the HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from plastic_env.study import costs, measures, plots
from plastic_env.study.report.markup import Html, Section, element
from plastic_env.study.results import ByMethod, ByScenario, Result
from plastic_env.study.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measured = TypeVar("Measured")

HEAVIEST = 300_000  # bytes of an SVG; what is larger becomes a PNG
DPI = 150  # of those
SALT = "plastic_env"  # makes ids in SVGs the same every time


def stream_pictures(title: str, methods: ByMethod) -> list[Section]:
    """Accuracy along the stream, and within its tasks."""
    return [
        _section(
            "Accuracy, edits, width, parity along the stream",
            plots.plasticity_figure(title, _each(methods, measures.curves)),
            "Top: average online accuracy, each batch scored before it is trained on. Below: a stroke for each edit, "
            "live units per editable layer, and the gradient that the newest units receive, over that of older ones.",
        ),
        _section(
            "Accuracy since the shift",
            plots.draw_since_shift(_each(methods, measures.since_shift)),
            "How fast a new task is learnt: mean over all scored tasks, with a 95 % band over seeds.",
        ),
        _section(
            "The same, early and late in the stream",
            plots.early_late_figure("", _each(methods, measures.early_late)),
            "First and last fifth of the tasks. Where the late curve lies below the early one, plasticity was lost.",
        ),
    ]


def unit_pictures(methods: ByMethod) -> list[Section]:
    """When units were born, and how newborns fare."""
    waiting = _each(methods, measures.survival)
    return [
        _section(
            "Live units by birth",
            plots.river_figure("", _each(methods, measures.river)),
            "Mean over seeds, of all editable layers. Founders are grey; the earlier a unit was born, the darker.",
        ),
        _section(
            "Gradient parity by age",
            plots.draw_parity_by_age(_each(methods, measures.parity_by_age)),
            "The gradient that a cohort of newborns receives, over that of the units older than it; 1: equal.",
        ),
        _section(
            "Activation parity by age",
            plots.draw_parity_by_age(
                _each(methods, lambda results: measures.parity_by_age(results, "activation")), of="activation"
            ),
            "How often a cohort's units are active, over how often older ones are.",
        ),
        _section(
            "Activation against gradient parity",
            plots.geometry_figure("", _each(methods, measures.geometry)),
            "Each cohort from its birth (hollow) to when it was last seen (filled); the arrow joins the medians.",
        ),
        _section(
            "Time to integrate",
            plots.draw_survival(waiting),
            "Share of cohorts whose smoothed gradient parity has not reached 1/2 yet, by age (Kaplan and Meier). "
            "Cohorts removed before that, or still waiting at the end, count until they were last seen. The bands take "
            "cohorts for independent, which those of one learner are not: they are too narrow.",
        ),
    ]


def budget_pictures(methods: ByMethod) -> list[Section]:
    """Accuracy against what it cost."""
    return [
        _within("Accuracy within a budget of multiply-accumulates", methods, "macs"),
        _within("Accuracy within a budget of live parameters", methods, "parameters"),
        _section(
            "Accuracy against compute",
            plots.draw_spending(_each(methods, measures.spending)),
            "Whole lives, with 95 % intervals over seeds. No method beats those on the Pareto front at their cost.",
        ),
    ]


def difference_picture(differences: Mapping[str, Interval], reference: str) -> Html:
    """Differences in TAOA from the reference."""
    drawn = plots.draw_forest(differences, of=f"TAOA less that of {reference}, seed by seed")
    return element("figure", _image(drawn, f"Differences in TAOA from {reference}, each with its interval."))


def heat_maps(found: ByScenario, reference: str) -> list[Section]:
    """Methods by scenarios."""
    scores = measures.scores(found)
    sections = [
        _section(
            "Ranks",
            plots.draw_heat_map(scores),
            "Mean TAOA of each method on each scenario; colours are ranks within the scenario, the best in bold.",
        )
    ]
    if reference in scores.methods:
        sections.append(
            _section(
                f"Differences from {reference}",
                plots.draw_heat_map(scores, reference=reference),
                f"The same numbers; colours are differences from {reference}.",
            )
        )
    return sections


def _each(methods: ByMethod, measure: Callable[[Sequence[Result]], Measured]) -> dict[str, Measured]:
    return {name: measure(results) for name, results in methods.items()}


def _within(title: str, methods: ByMethod, of: str) -> Section:
    return _section(
        title,
        plots.draw_within(_each(methods, lambda results: costs.within(results, of)), of=costs.KINDS[of]),
        "Mean over the batches that the budget pays for, with a 95 % band over seeds. A method that spends less per "
        "batch has seen more of the stream.",
    )


def figure(drawn: Figure | Axes, caption: str, title: str = "") -> Html:
    """A picture and what it shows. title: said to those who can't see it, before the caption."""
    return element("figure", _image(drawn, f"{title} {caption}".lstrip()), element("figcaption", caption))


def _section(title: str, drawn: Figure | Axes, caption: str) -> Section:
    return Section(title, figure(drawn, caption, f"{title}."))


def _image(drawn: Figure | Axes, alt: str) -> Html:
    """An image that scrolls rather than becoming too small to read."""
    from matplotlib import rc_context

    figure: Any = getattr(drawn, "figure", drawn)
    kind, data = "svg+xml", io.BytesIO()
    with rc_context({"svg.hashsalt": SALT}):
        figure.savefig(data, format="svg", metadata={"Date": None})
    if data.tell() > HEAVIEST:
        kind, data = "png", io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    source = f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
    image = element("img", src=source, alt=alt, width=width, height=height)
    return element("div", image, class_="paper scroll", tabindex=0, role="region", aria_label="picture")
