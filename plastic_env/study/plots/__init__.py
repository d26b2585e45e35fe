"""Pictures of studies. Arrays in, axes out: nothing is saved or shown here, and matplotlib is loaded on first use.

Each `draw_...` takes small records of finished numbers by method (`measures.py` makes them of results) and axes to draw
on, or makes its own; each `..._figure` makes a whole figure. Files by topic; what they share is in `style.py`.
"""

from plastic_env.study.plots.cohorts import River, draw_river, river_figure
from plastic_env.study.plots.curves import Curves, draw_accuracy, draw_edits, draw_lines, plasticity_figure
from plastic_env.study.plots.parity import Geometry, draw_geometry, draw_parity_by_age, geometry_figure
from plastic_env.study.plots.rankings import Scores, draw_forest, draw_heat_map
from plastic_env.study.plots.style import COLOURS, DASHES, MARKERS, Band, label_lines, mark_shifts
from plastic_env.study.plots.survival import Survival, draw_survival
from plastic_env.study.plots.tasks import EarlyLate, draw_early_late, draw_since_shift, early_late_figure
from plastic_env.study.plots.tradeoffs import CycleTicket, Spending, draw_cycle_ticket, draw_spending, draw_within

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "Band",
    "Curves",
    "CycleTicket",
    "EarlyLate",
    "Geometry",
    "River",
    "Scores",
    "Spending",
    "Survival",
    "draw_accuracy",
    "draw_cycle_ticket",
    "draw_early_late",
    "draw_edits",
    "draw_forest",
    "draw_geometry",
    "draw_heat_map",
    "draw_lines",
    "draw_parity_by_age",
    "draw_river",
    "draw_since_shift",
    "draw_spending",
    "draw_survival",
    "draw_within",
    "early_late_figure",
    "geometry_figure",
    "label_lines",
    "mark_shifts",
    "plasticity_figure",
    "river_figure",
]
