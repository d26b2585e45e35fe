"""Methods by name: an agent and the learner it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any

from plastic_env.agents.integration import (
    AfterShift,
    AwayFromShifts,
    BeforeShift,
    Every,
    Hazard,
    ParityGated,
    PlateauGated,
    Schedule,
    UtilityGated,
)
from plastic_env.agents.looking import Elastic, Growing, GrowPrune, Saturation
from plastic_env.agents.resets import HeadReset, ReDo
from plastic_env.agents.responsive import RecycleAfterFall
from plastic_env.agents.structural import CubicPrune, DenseRewind, Grow, NoEdit, Prune, Recycle, Reset
from plastic_env.env.agent import Agent
from plastic_env.env.encoding import RULE_FIELDS
from plastic_env.errors import InvalidSetting, is_whole, look_up
from plastic_env.learner.maintenance import Maintenance
from plastic_env.learner.optimizers import SGD, UPGD, Adam
from plastic_env.learner.penalties import L2, Dropout, L2Init, NaP, ShrinkPerturb, Spectral
from plastic_env.learner.replacement import ContinualBackprop, ContinuousCBP
from plastic_env.learner.settings import LearnerSettings

OPTIMIZERS = {"adam": Adam, "sgd": SGD, "upgd": UPGD}
MAINTENANCE: dict[str, type[Maintenance]] = {
    rule.__name__: rule
    for rule in (L2, L2Init, ShrinkPerturb, Spectral, NaP, Dropout, ContinualBackprop, ContinuousCBP)
}


@dataclass(frozen=True)
class Method:
    """An agent plus the learner settings it needs.

    summary: one line. make: a new agent. learner: the learner that it edits.
    """

    summary: str
    make: Callable[[], Agent]
    learner: LearnerSettings = field(default_factory=LearnerSettings)

    @property
    def options(self) -> tuple[str, ...]:
        """The names of all that `varied` takes."""
        return tuple(_owners(self.make(), self.learner))

    def varied(self, **options: Any) -> Method:
        """The same method with other options: fields of the agent, if it is a dataclass, of the learner, or of the
        learner's optimizer, such as `events=5`, `activation="smooth_leaky"` or `lr=0.01`. An optimizer may be named:
        `optimizer="sgd"`.

        Raises:
            UnknownName: there is no such option. PlasticEnvError: a value that the learner refuses.
        """
        agent, learner = self.make(), self.learner
        if "optimizer" in options:
            optimizer = options.pop("optimizer")
            if isinstance(optimizer, str):
                optimizer = look_up(OPTIMIZERS, optimizer, "optimizer")()
            learner = replace(learner, optimizer=optimizer)
        known = _owners(agent, learner)
        given: dict[int, dict[str, Any]] = {}
        for name, value in options.items():
            given.setdefault(id(look_up(known, name, "option of the method")), {})[name] = value
        tuned: Any = learner.optimizer
        if id(tuned) in given:
            tuned = replace(tuned, **given[id(tuned)])
        changed = replace(learner, optimizer=tuned, **given.get(id(learner), {}))
        make, own = self.make, given.get(id(agent), {})
        for part in fields(agent) if own else ():  # type: ignore[arg-type]
            if part.name in own:
                _check_option(part, own[part.name])
        return Method(self.summary, (lambda: replace(make(), **own)) if own else make, changed)  # type: ignore[type-var]


def _check_option(part: Field[Any], value: object) -> None:
    """Raise if a value is not of the kind that an agent's field says it is, or no name of a rule.

    Raises:
        InvalidSetting, UnknownName: see above.
    """
    kind = part.type if isinstance(part.type, str) else getattr(part.type, "__name__", "")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    kinds = {"int": is_whole(value), "float": number, "bool": isinstance(value, bool), "str": isinstance(value, str)}
    if not kinds.get(kind, True):
        wanted = {"int": "a whole number of at least 0", "float": "a number", "bool": "True or False", "str": "a name"}
        raise InvalidSetting(f"{part.name} is {value!r}; give {wanted[kind]}.")
    if part.name in RULE_FIELDS:
        look_up(dict.fromkeys(RULE_FIELDS[part.name]), value, part.name.replace("_", " "))


def _owners(agent: Agent, learner: LearnerSettings) -> dict[str, object]:
    """Whose field each option is, by the option's name."""
    owners = (owner for owner in (learner.optimizer, learner, agent) if is_dataclass(owner))
    return {part.name: owner for owner in owners for part in fields(owner) if part.init}


_SMALL, _HALF = LearnerSettings(live=0.1), LearnerSettings(live=0.5)

_SCHEDULES: dict[str, tuple[str, type[Schedule], dict[str, Any]]] = {
    "every_5": ("at 5 equal distances", Every, {"events": 5}),
    "every_10": ("at 10 equal distances", Every, {"events": 10}),
    "every_20": ("at 20 equal distances", Every, {"events": 20}),
    "after_shift": ("right after shifts", AfterShift, {}),
    "before_shift": ("25 updates before shifts", BeforeShift, {}),
    "away_from_shifts": ("in the middle of tasks", AwayFromShifts, {}),
    "parity_gated": ("when the latest newborns' gradient parity reaches 1/2", ParityGated, {}),
    "plateau_gated": ("when accuracy has stopped rising", PlateauGated, {}),
    "utility_gated": ("when the latest newborns contribute as much as incumbents", UtilityGated, {}),
    "hazard": ("when newborns of their age have mostly integrated", Hazard, {}),
}  # when the next cohort comes


def _schedules() -> dict[str, Method]:
    """Each schedule twice: growing, and recycling at constant width."""
    found = {}
    for name, (when, kind, settings) in _SCHEDULES.items():
        found[name] = Method(f"from 10 % of the units to half of them, {when}", partial(kind, **settings), _SMALL)
        again = partial(kind, **settings, recycle=True, insertion="fresh")
        found[f"{name}_recycle"] = Method(f"the weakest eighth replaced {when}", again)
    return found


def _maintained(summary: str, *rules: Maintenance, norm: str = "none") -> Method:
    return Method(summary, NoEdit, LearnerSettings(norm=norm, maintenance=rules))


_STEADY = LearnerSettings(norm="layer", maintenance=(L2Init(),))  # a learner that keeps its plasticity by itself


DEMO = (
    *("dense", "reset", "grow", "grow_integrate", "grow_smooth_leaky"),
    *("prune", "prune_no_rewind", "dense_rewind", "recycle"),
)  # what is compared unless somebody asks for others

METHODS: dict[str, Method] = {
    "dense": Method("all units, no edit", NoEdit),
    "reset": Method("everything drawn anew at each shift", Reset),
    "grow": Method("from 10 % of the units to half of them, in 20 events", Grow, _SMALL),
    "grow_integrate": Method(
        "the same growth in 5 larger events, with more time to integrate", lambda: Grow(events=5), _SMALL
    ),
    "grow_smooth_leaky": Method(
        "grow, with the smooth-leaky activation",
        Grow,
        LearnerSettings(live=0.1, activation="smooth_leaky"),
    ),
    "prune": Method("magnitude pruning to half of the units, rewinding the rest", Prune),
    "prune_no_rewind": Method("the same pruning without rewinding", lambda: Prune(rewind=False)),
    "dense_rewind": Method("all units, rewound when prune rewinds", DenseRewind),
    "recycle": Method("the weakest eighth by contribution utility replaced at each shift", Recycle),
    "recycle_after_fall": Method(
        "a batch after each shift, three quarters replaced if accuracy has fallen by .4", RecycleAfterFall
    ),
    "cubic_prune": Method("magnitude pruning to half of the units, fast at first, nothing rewound", CubicPrune),
    "set": Method("at half width, the weakest units exchanged for random dormant ones", GrowPrune, _HALF),
    "rigl": Method(
        "at half width, the weakest units exchanged for those with the largest gradient",
        lambda: GrowPrune(grow_rule="gradient"),
        _HALF,
    ),
    "growing": Method("from 10 % of the units, one random unit per layer every 200 updates", Growing, _SMALL),
    "elastic": Method("growing, and dormant units are pruned at each shift", Elastic, _SMALL),
    "saturation": Method(
        "from 10 % of the units, four more in layers of high rank when accuracy has stopped rising", Saturation, _SMALL
    ),
    **_schedules(),
    "l2": _maintained("weight decay as a penalty on all weights", L2()),
    "l2_init": _maintained("a penalty on the distance from the initial weights", L2Init()),
    "shrink_perturb": _maintained("all weights shrunk and perturbed after each update", ShrinkPerturb()),
    "head_reset": Method("the head drawn anew at each shift", HeadReset),
    "layer_norm": Method("layer normalisation", NoEdit, LearnerSettings(norm="layer")),
    # with 48 units per layer instead of 64, nearly as many weights, 8,640 instead of 8,832 on the small streams
    "crelu": Method(
        "concatenated ReLUs, with three quarters of the units", NoEdit, LearnerSettings((48, 48), activation="crelu")
    ),
    "smooth_leaky": Method("the smooth-leaky activation", NoEdit, LearnerSettings(activation="smooth_leaky")),
    "rsl": Method("the randomised smooth-leaky activation", NoEdit, LearnerSettings(activation="random_smooth_leaky")),
    "dropout": _maintained("a tenth of the units silent, sample by sample", Dropout()),
    "spectral": _maintained("a penalty that keeps the largest singular values at one", Spectral()),
    "nap": _maintained("layer normalisation, and weights projected to their initial norm", NaP(), norm="layer"),
    "redo": Method("dormant units recycled every 1,000 updates", ReDo),
    "cbp": _maintained(
        "continual backprop: the least useful mature units replaced, few at a time", ContinualBackprop()
    ),
    "continuous_cbp": _maintained("continual backprop by degrees, by gradient utility", ContinuousCBP()),
    # with the paper's rate of .01, tasks as short as the small streams' end before anything is learnt
    "upgd": Method("utility-based perturbed gradient descent", NoEdit, LearnerSettings(optimizer=UPGD(lr=0.1))),
    "layer_norm_l2_init": Method(
        "layer normalisation with a penalty on the distance from the initial weights", NoEdit, _STEADY
    ),
    "recycle_smooth_leaky": Method(
        "recycle, with the smooth-leaky activation", Recycle, LearnerSettings(activation="smooth_leaky")
    ),
    "recycle_after_fall_layer_norm_l2_init": Method(
        "recycle_after_fall on the learner of layer_norm_l2_init", RecycleAfterFall, _STEADY
    ),
}
