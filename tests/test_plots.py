"""Pictures hold what they were given, say when there is nothing to see, and leave no trace."""

import importlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from plastic_env import study
from plastic_env.errors import UnknownName
from plastic_env.study import plots
from plastic_env.study.plots import rankings, style
from plastic_env.study.stats import Interval

NAN = float("nan")
NOBODY = np.zeros(0)
NO_BAND = plots.Band(NOBODY, NOBODY, NOBODY, NOBODY)


def band(*heights, half=0.1):
    middle = np.array(heights, dtype=float)
    return plots.Band(np.arange(len(middle)) * 10.0, middle, middle - half, middle + half)


def about(mean, half=0.01):
    return Interval(mean, mean - half, mean + half)


def geometry(*paths):
    """Each path: birth (activation, gradient), end (activation, gradient)."""
    (birth_activation, birth_gradient), (end_activation, end_gradient) = np.array(paths, float).transpose(1, 2, 0)
    return plots.Geometry(birth_activation, birth_gradient, end_activation, end_gradient)


CURVES = plots.Curves(
    np.array([5, 10, 15]),
    np.array([[0.3, 0.6, 0.9], [0.1, 0.2, 0.3]]),
    np.array([[3, 4.5, 4.5], [3, 3, 3]]),
    np.array([[NAN, -1, -2], [NAN] * 3]),
    np.array([5, 10]),
)
RIVER = plots.River(
    np.array([0, 5, 10]),
    15,
    np.array([0, 5, 10, 15]),
    np.array([[6.0, 5, 4], [0, 0, 0], [0, 2, 2], [0, 0, 3]]),
    [5, 10],
)
STILL = plots.River(np.array([0, 5]), 15, np.array([0, 15]), np.array([[4.0, 3], [0, 0]]), [5])
SURVIVAL = plots.Survival(
    np.array([10, 30]), np.array([0.6, 0.2]), np.array([0.4, 0.1]), np.array([0.8, NAN]), np.array([20, 50, 50])
)
SCORES = plots.Scores(["dense", "grow"], ["a", "b", "c"], np.array([[0.7, 0.2, NAN], [0.75, 0.1, 0.5]]))


def render(figure, form="png"):
    """Draw it whole, small."""
    figure.savefig(io.BytesIO(), format=form, dpi=20)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def lines(ax, of):
    """The drawn lines with more than one point, or with `of` points."""
    return [line for line in ax.lines if len(line.get_xdata()) == of]


PICTURES = {
    "accuracy": (plots.draw_accuracy, {"a": CURVES}),
    "edits": (plots.draw_edits, {"a": CURVES}),
    "since_shift": (plots.draw_since_shift, {"a": band(0.1, 0.5, 0.9)}),
    "early_late": (plots.draw_early_late, plots.EarlyLate(band(0.1, 0.5), band(0.1, 0.4))),
    "river": (plots.draw_river, RIVER),
    "parity_by_age": (plots.draw_parity_by_age, {"a": band(-1, 0), "b": NO_BAND}),
    "geometry": (plots.draw_geometry, {"a": geometry([(1, -1), (0, 0)])}),
    "survival": (plots.draw_survival, {"a": SURVIVAL}),
    "cycle_ticket": (plots.draw_cycle_ticket, {"a": plots.CycleTicket(about(0.5), about(0.6))}),
    "spending": (plots.draw_spending, {"a": plots.Spending(about(1e8, 0), about(0.6))}),
    "heat_map": (plots.draw_heat_map, SCORES),
    "forest": (plots.draw_forest, {"a": about(0.1)}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_comes_on_given_axes_or_on_its_own_and_in_both_formats(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw, data = PICTURES[name]
    given = Figure().subplots()
    assert draw(data, given) is given
    own = draw(data)
    assert own.figure is not given.figure
    for form in ("png", "svg"):
        render(own.figure, form)
    assert not list(tmp_path.iterdir())
    assert own.get_xlabel() or name in {"accuracy", "edits", "heat_map"}


@pytest.mark.parametrize(
    ("draw", "nothing", "says"),
    [
        (plots.draw_since_shift, {}, "no method"),
        (plots.draw_parity_by_age, {"dense": NO_BAND}, "no unit was born"),
        (plots.draw_geometry, {"dense": geometry([(NAN, 0), (0, 0)])}, "no unit was born"),
        (plots.draw_survival, {"dense": plots.Survival(*(NOBODY,) * 5)}, "no unit was born"),
        (plots.draw_cycle_ticket, {"dense": plots.CycleTicket(about(0.5), about(NAN))}, "no ticket"),
        (plots.draw_spending, {}, "no method"),
        (plots.draw_heat_map, plots.Scores(["a"], ["b"], np.array([[NAN]])), "nothing measured"),
        (plots.draw_forest, {"a": about(NAN)}, "no differences"),
        (plots.draw_river, STILL, "no births"),
    ],
)
def test_axes_say_when_there_is_nothing_to_see(draw, nothing, says):
    ax = draw(nothing)
    assert any(says in text for text in texts(ax))
    render(ax.figure)


@pytest.mark.parametrize(
    ("figure", "data"),
    [
        (plots.river_figure, RIVER),
        (plots.early_late_figure, plots.EarlyLate(band(0.1, 0.5), band(0.1, 0.4))),
        (plots.geometry_figure, geometry([(1, -1), (0, 0)])),
    ],
)
def test_figures_of_panels_have_one_per_method(figure, data):
    made = figure("all of them", dict.fromkeys("abc", data))
    shown = [ax for ax in made.axes if ax.axison and ax.get_title()]
    assert [ax.get_title() for ax in shown] == ["a", "b", "c"]
    assert [bool(ax.get_ylabel()) for ax in shown] == [True, False, True]
    assert [bool(ax.get_xlabel()) for ax in shown] == [False, True, True]
    assert len({ax.get_ylim() for ax in shown}) == 1
    render(made)
    assert texts(figure("none", {}).axes[0])[0].startswith("no ")


def test_plasticity_figure_draws_what_it_was_given():
    top, raster, width, parity = plots.plasticity_figure("made by hand", {"mine": CURVES}).axes
    np.testing.assert_allclose(top.lines[0].get_xdata(), [2.5, 7.5, 12.5])
    np.testing.assert_allclose(top.lines[0].get_ydata(), [0.2, 0.4, 0.6])
    assert len(top.collections) == 1  # the band
    assert "per task" in top.get_title()
    assert "2 seeds" in top.get_title()
    np.testing.assert_allclose(raster.lines[0].get_xdata(), [5, 10])
    np.testing.assert_allclose(width.lines[0].get_ydata(), [3, 3.75, 3.75])
    np.testing.assert_allclose(parity.lines[0].get_ydata(), np.exp([-1, -2]))
    assert texts(top) == ["mine"]


def test_plasticity_figure_without_births_or_equal_tasks_says_so():
    parity = np.full((2, 3), NAN)
    still = plots.Curves(CURVES.task_ends, CURVES.accuracy, CURVES.width, parity, NOBODY, by_task=False)
    figure = plots.plasticity_figure("x", {"dense": still})
    assert "per stretch" in figure.axes[0].get_title()
    assert texts(figure.axes[3]) == ["no unit was born beside older ones"]
    render(figure)


def test_methods_whose_tasks_end_elsewhere_are_drawn_where_they_do():
    parity = np.array([[NAN, -1, -1, -2]])
    other = plots.Curves(np.array([2, 6, 9, 15]), np.full((1, 4), 0.5), np.full((1, 4), 2.0), parity, NOBODY)
    stretches = plots.Curves(np.array([7, 15]), np.full((2, 2), 0.5), *(np.ones((2, 2)),) * 2, NOBODY, by_task=False)
    methods = {"mine": CURVES, "other": other, "stretches": stretches}
    top, _, width, newest = plots.plasticity_figure("x", methods).axes
    assert "per task or stretch," in top.get_title()
    assert [line.get_xdata().tolist() for line in top.lines[:3]] == [[2.5, 7.5, 12.5], [1, 4, 7.5, 12], [3.5, 11]]
    assert [line.get_xdata().tolist() for line in width.lines[:3]] == [[5, 10, 15], [2, 6, 9, 15], [7, 15]]
    assert [line.get_xdata().tolist() for line in newest.lines[:3]] == [[10, 15], [6, 9, 15], [7, 15]]


def test_shifts_are_marked_where_all_methods_have_the_same():
    moved = plots.Curves(np.array([4, 11, 15]), CURVES.accuracy, CURVES.width, CURVES.parity, NOBODY)
    for methods, marks in (({"a": CURVES, "b": CURVES}, [[5, 10]]), ({"a": CURVES, "b": moved}, [[]])):
        top, _, _, bottom = plots.plasticity_figure("x", methods).axes
        assert [list(line.get_xdata()) for line in top.lines if line.get_marker() == "|"] == marks
        assert ("shifts" in bottom.get_xlabel()) == bool(marks[0])


def test_curves_since_the_shift_skip_what_is_not_known():
    ax = plots.draw_since_shift({"one seed": plots.Band(*(np.array([0.0, 1, 2]),) * 4), "gaps": band(0.5, NAN, 0.7)})
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [0, 20])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.5, 0.7])
    assert sorted(texts(ax)) == ["gaps", "one seed"]


def test_early_and_late_differ_without_colour():
    ax = plots.draw_early_late(plots.EarlyLate(band(0.1, 0.5), band(0.1, 0.4)), at=2)
    early, late = ax.lines
    np.testing.assert_allclose(early.get_ydata(), [0.1, 0.5])
    assert early.get_color() == late.get_color() == plots.COLOURS[2]
    assert early.get_linestyle() != late.get_linestyle()
    assert (early.get_markerfacecolor(), late.get_markerfacecolor()) == ("white", plots.COLOURS[2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["first tasks", "last tasks"]


def test_river_stacks_the_youngest_on_top_until_the_end():
    ax = plots.draw_river(RIVER)
    founders, second, third = ax.collections  # nobody was born in the first group
    assert founders.get_datalim(ax.transData).extents.tolist() == [0, 0, 15, 6]
    assert second.get_datalim(ax.transData).extents.tolist() == [5, 4, 15, 7]
    assert third.get_datalim(ax.transData).extents.tolist() == [10, 6, 15, 9]
    total = next(line for line in ax.lines if line.get_color() == "black")
    assert (total.get_xdata().tolist(), total.get_ydata().tolist()) == ([0, 5, 10, 15], [6, 7, 9, 9])
    assert [5, 10] in [list(line.get_xdata()) for line in ax.lines]  # shifts
    assert ax.get_xlim() == (0, 15)
    assert len(ax.figure.axes) == 2  # with the colour bar
    assert len(plots.draw_river(RIVER, key=False).figure.axes) == 1


def test_river_ends_where_nobody_lived_on():
    live = np.where(np.arange(3) < 2, RIVER.live, NAN)
    ax = plots.draw_river(plots.River(RIVER.updates, RIVER.end, RIVER.edges, live, NOBODY))
    assert ax.collections[0].get_datalim(ax.transData).extents.tolist() == [0, 0, 10, 6]
    total = next(line for line in ax.lines if line.get_color() == "black")
    np.testing.assert_array_equal(total.get_ydata(), [6, 7, NAN, NAN])
    render(ax.figure)


def test_parity_is_drawn_as_ratios_around_one():
    ax = plots.draw_parity_by_age({"dense": NO_BAND, "grow": band(-2, -1, 0)}, of="activation")
    (curve,) = lines(ax, 3)
    np.testing.assert_allclose(curve.get_ydata(), np.exp([-2, -1, 0]))
    assert curve.get_color() == plots.COLOURS[1]  # dense keeps its own
    assert ax.get_yscale() == "log"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1/8", "1/4", "1/2", "1"]
    assert "activation" in ax.get_ylabel()
    assert [1, 1] in [list(line.get_ydata()) for line in ax.lines]  # the line at parity 1
    assert sorted(texts(ax)) == ["dense: no newborns", "grow"]


def test_geometry_goes_from_hollow_births_to_filled_ends():
    paths = [[(1, -2), (0, 0)], [(2, -1), (0.5, -0.5)], [(3, -3), (1, -1)], [(NAN, 0), (0, 0)]]
    ax = plots.draw_geometry({"grow": geometry(*paths)})
    threads = [line for line in lines(ax, 2) if line.get_linewidth() == 0.5]
    assert len(threads) == 3
    np.testing.assert_allclose(np.log(threads[0].get_xydata()), [[-2, 1], [0, 0]])  # gradient, activation
    births, ends = lines(ax, 3)
    assert births.get_markerfacecolor() == "none"
    np.testing.assert_allclose(np.log(births.get_xdata()), [-2, -1, -3])
    np.testing.assert_allclose(np.log(ends.get_ydata()), [0, 0.5, 1], atol=1e-12)
    large = [line for line in ax.lines if line.get_markersize() == 9]
    np.testing.assert_allclose([np.log(line.get_xydata()[0]) for line in large], [[-2, 2], [-0.5, 0.5]])
    shown = {text.get_text() for text in ax.texts}
    assert {"forward-active\nbackward-starved", "forward-quiet\nbackward-fed", "grow"} <= shown
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert not lines(plots.draw_geometry({"grow": geometry(*paths)}, cohorts=False), 3)


def test_geometry_of_methods_without_newborns_takes_no_panel():
    nobody, somebody = geometry([(NAN, NAN), (NAN, NAN)]), geometry([(1, -1), (0, 0)])
    figure = plots.geometry_figure("x", {"dense": nobody, "grow": somebody, "prune": nobody})
    assert [ax.get_title() for ax in figure.axes] == ["grow"]
    assert figure.texts[0].get_text() == "x\nno newborns: dense, prune"
    assert {line.get_color() for line in lines(figure.axes[0], 1)} == {plots.COLOURS[1]}
    assert "no unit was born" in texts(plots.geometry_figure("x", {"dense": nobody}).axes[0])[0]


def test_survival_steps_from_one_and_ticks_the_censored():
    ax = plots.draw_survival({"dense": plots.Survival(*(NOBODY,) * 5), "grow": SURVIVAL})
    curve, ticks = lines(ax, 4)[0], next(line for line in ax.lines if line.get_marker() == "|")
    assert curve.get_drawstyle() == "steps-post"
    assert (curve.get_xdata().tolist(), curve.get_ydata().tolist()) == ([0, 10, 30, 50], [1, 0.6, 0.2, 0.2])
    assert (ticks.get_xdata().tolist(), ticks.get_ydata().tolist()) == ([20, 50], [0.6, 0.2])
    assert "dense: no newborns" in texts(ax)
    only = plots.Survival(NOBODY, NOBODY, NOBODY, NOBODY, np.array([40]))  # nobody ever integrated
    assert lines(plots.draw_survival({"grow": only}), 2)[0].get_ydata().tolist() == [1, 1]


def test_cycle_against_ticket_has_equal_axes_and_a_diagonal():
    found = {
        "dense": plots.CycleTicket(about(0.5), about(0.6)),
        "grow": plots.CycleTicket(Interval(0.7, NAN, NAN), Interval(0.65, NAN, NAN)),  # one seed
        "reset": plots.CycleTicket(about(0.6), about(NAN)),
    }
    ax = plots.draw_cycle_ticket(found)
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < 0.49
    points = [tuple(line.get_xydata()[0]) for line in lines(ax, 1) if line.get_markersize() == 7]
    assert points == [(0.5, 0.6), (0.7, 0.65)]
    assert len(ax.collections) == 2  # both bars of the first
    assert "reset: nothing measured" in texts(ax)
    assert any(type(line).__name__.endswith("AxLine") for line in ax.lines)


def test_spending_is_drawn_with_its_front():
    costs, worths = [4e8, 1e8, 9e8], [0.7, 0.5, 0.6]
    found = {name: plots.Spending(about(c, 0), about(w)) for name, c, w in zip("abc", costs, worths, strict=True)}
    ax = plots.draw_spending(found)
    assert ax.get_xscale() == "log"
    front = next(line for line in ax.lines if line.get_label() == "Pareto front")
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([1e8, 4e8, 9e8], [0.5, 0.7, 0.7])
    assert texts(ax) == ["b", "c", "a"]  # by height


def test_heat_map_by_ranks_and_by_differences():
    ax = plots.draw_heat_map(SCORES)
    assert texts(ax) == ["0.700", "0.200", "-", "0.750", "0.100", "0.500"]
    assert [text.get_fontweight() for text in ax.texts] == ["normal", "bold", "normal", "bold", "normal", "bold"]
    assert ax.collections[0].get_array().filled(-1).ravel().tolist() == [2, 1, -1, 1, 2, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dense", "grow"]
    assert ax.get_ylim() == (2, 0)  # the first method at the top
    against = plots.draw_heat_map(SCORES, reference="dense", form=".1f", key=False)
    np.testing.assert_allclose(against.collections[0].get_array().filled(9).ravel(), [0, 0, 9, 0.05, -0.1, 9])
    assert against.collections[0].get_clim() == pytest.approx((-0.1, 0.1))
    assert texts(against)[0] == "0.7"
    alone = plots.draw_heat_map(plots.Scores(["a", "b"], ["x", "y"], np.array([[0.5, 1], [NAN, 0]])), reference="b")
    assert [text.get_color() for text in alone.texts][:1] == ["black"]  # on grey: there is no difference to show
    with pytest.raises(UnknownName, match="Known: dense, grow"):
        plots.draw_heat_map(SCORES, reference="prune")


def test_spending_of_methods_that_cost_alike_is_drawn():
    cost = Interval(1e8, np.nextafter(1e8, 0), np.nextafter(1e8, 2e8))
    ax = plots.draw_spending({"a": plots.Spending(cost, about(0.5)), "b": plots.Spending(cost, about(0.6))})
    low, high = ax.get_xlim()
    assert low < 0.9e8 < 1.1e8 < high
    render(ax.figure)


def test_ranks_share_places_and_skip_the_unknown():
    found = rankings.ranks(np.array([[1.0, NAN], [3, 2], [3, 1], [0, NAN]]))
    np.testing.assert_array_equal(found, [[3, NAN], [1.5, 1], [1.5, 2], [4, NAN]])


@pytest.mark.parametrize(("fill", "text"), [((1, 1, 1), "black"), ((0, 0, 0.4), "white"), ((1, 0.9, 0.1), "black")])
def test_text_contrasts_with_its_cell(fill, text):
    assert rankings.readable_on(fill) == text


def test_forest_is_sorted_and_tells_certain_from_uncertain():
    found = {"a": Interval(0.02, -0.01, 0.05), "b": about(0.3), "c": about(-0.2), "d": Interval(0.1, NAN, NAN)}
    ax = plots.draw_forest(found, of="TAOA, from dense")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "a", "d", "b"]
    dots = lines(ax, 1)
    assert [dot.get_xdata()[0] for dot in dots] == [-0.2, 0.02, 0.1, 0.3]
    assert [dot.get_markerfacecolor() for dot in dots] == ["black", "white", "white", "black"]
    assert texts(ax)[0] == "-0.200 [-0.210, -0.190]"
    assert texts(ax)[2] == "+0.100 [one seed]"
    assert [0, 0] in [list(line.get_xdata()) for line in ax.lines]
    assert ax.get_xlabel() == "TAOA, from dense"


def test_names_beside_lines_stand_apart_and_in_order():
    ax = Figure(figsize=(5, 3)).subplots()
    ax.set_ylim(0, 1)
    style.label_lines({"low": 0.5, "high": 0.51, "none": NAN, "top": 1.0}, ax)
    places = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert list(places) == ["none: nothing measured", "low", "high", "top"]
    heights = list(places.values())
    assert min(np.diff(heights)) > 0.04
    assert places["low"] == pytest.approx(0.5)
    assert max(heights) < 1
    assert ax.get_ylim() == (0, 1)


def test_many_names_fit_beside_the_axes():
    ax = Figure(figsize=(5, 3)).subplots()
    style.label_lines({f"method {at}": at / 60 for at in range(60)}, ax)
    heights = [text.get_position()[1] for text in ax.texts]
    assert 0 < min(heights) < max(heights) < 1
    assert ax.texts[0].get_fontsize() < 5


def test_ratio_axis_shows_one_and_few_ticks():
    ax = Figure().subplots()
    style.ratio_axis(ax, "x", 1 / 1000, 0.5)
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert shown[-1] == "1"
    assert len(shown) <= style.MOST_TICKS
    assert ax.get_xlim()[0] < 1 / 1000 < 1 < ax.get_xlim()[1]
    style.ratio_axis(ax, "y", 2, 3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]


def test_styles_of_many_methods_differ_without_colour():
    looks = [style.line_style(at, 50) for at in range(20)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 20
    assert len({to_hex(colour) for colour in plots.COLOURS}) == 10


def test_matplotlib_is_imported_on_first_use_and_pyplot_never(monkeypatch):
    monkeypatch.setattr(study, "plots", plots)  # which importing it again replaces
    for name in [name for name in sys.modules if name.startswith("plastic_env.study.plots")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)  # whoever imports it fails
    again = importlib.import_module("plastic_env.study.plots")
    assert again is not plots
    with pytest.raises(ImportError):
        again.draw_forest({"a": about(0.1)})
    for file in Path(plots.__file__).parent.glob("*.py"):
        assert "matplotlib.pyplot" not in file.read_text()
