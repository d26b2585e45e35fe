"""Between the rules and Gymnasium: spaces, actions to plans, lifetimes to observations and infos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from plastic_env.env.episode import Outcome, Plan
from plastic_env.env.standing import Standing
from plastic_env.errors import InvalidAction, look_up
from plastic_env.learner.diagnostics import LOG_PARITY_LIMIT
from plastic_env.learner.edits import KINDS, REWINDS, Edit, check_edit, clip_edit
from plastic_env.learner.insertion import INSERTIONS
from plastic_env.learner.selection import RULES
from plastic_env.learner.trainability import TRAINABILITY
from plastic_env.learner.transfer import OPTIMIZER_STATES

Action = dict[str, Any]
Observation = dict[str, np.ndarray]

GLOBAL_FIELDS = (
    "progress",  # updates of the stream used up, over all of them
    "since_edit",  # updates since the latest edit, u / (u + 100)
    "accuracy",  # mean online accuracy of the latest step
    "accuracy_change",  # against the step before it, in [-1, 1]
    "loss",  # mean online loss of the latest step, l / (l + 1)
    "compute_left",  # fraction of the compute cap, 1 without one
    "at_shift",  # 1 if a new task starts now; always 0 when boundaries are hidden
)
LAYER_FIELDS = (
    "live",  # live units over slots
    "newborn",  # units of the newest cohort over live units, 0 for the founders
    "age",  # mean updates since birth, u / (u + 1000)
    "comparable",  # 1 if there are newborns and incumbents: else the parities are 0
    "log_activation_parity",  # over its limit of 5, in [-1, 1]
    "log_gradient_parity",  # likewise
    "log_utility_parity",  # likewise: the newborns' mean contribution over the incumbents' median one
    "dormant",  # fraction of live units with a ReDo score of at most .025
    "effective_rank",  # of the features, over live units
    "weight_norm",  # mean |incoming weight| w / (w + 1)
    "gradient_norm",  # mean |its gradient| g / (g + .001)
    "growable",  # dormant slots over slots
    "prunable",  # units that may be pruned over slots
)
_SIGNED = ("log_activation_parity", "log_gradient_parity", "log_utility_parity")
RULE_FIELDS: dict[str, tuple[str, ...]] = {f"{kind}_rule": tuple(RULES[kind]) for kind in KINDS}
RULE_FIELDS |= {
    "insertion": tuple(INSERTIONS),
    "optimizer_state": tuple(OPTIMIZER_STATES),
    "trainability": tuple(TRAINABILITY),
    "rewind": tuple(REWINDS),
}
SWITCHES = ("transfer_bias", "store", "reset")
ILLEGAL = {"clip": "cut counts to what is possible and say so in info", "raise": "raise InvalidEdit"}


@dataclass(frozen=True)
class EpisodeSpec:
    """What an agent may know of the episodes it will act in.

    capacity: slots per editable layer.
    live: live units per editable layer at the start, as the learner's settings have it.
    updates: length of the stream.
    max_budget: the most updates per step.
    boundaries: "decision" or "hidden".
    """

    capacity: tuple[int, ...]
    live: tuple[int, ...]
    updates: int
    max_budget: int
    boundaries: str

    @staticmethod
    def of(lifetime: Standing) -> EpisodeSpec:
        """The spec of a lifetime's episodes."""
        settings = lifetime.settings
        learner = settings.learner
        return EpisodeSpec(
            learner.slots, learner.live_units, lifetime.updates, settings.max_budget, settings.boundaries
        )

    @property
    def action_space(self) -> spaces.Dict:
        """Counts per layer for each kind of edit, an index for each rule, three switches, a budget."""
        counts = {kind: spaces.MultiDiscrete(np.array(self.capacity) + 1) for kind in KINDS}
        rules = {name: spaces.Discrete(len(names)) for name, names in RULE_FIELDS.items()}
        switches = {name: spaces.Discrete(2) for name in SWITCHES}
        return spaces.Dict({**counts, **rules, **switches, "budget": spaces.Discrete(self.max_budget, start=1)})

    @property
    def observation_space(self) -> spaces.Dict:
        """Bounded boxes: "global" [fields], "layers" [editable layers, fields]; see `GLOBAL_FIELDS`, `LAYER_FIELDS`."""
        low, high = _bounds(GLOBAL_FIELDS, {"accuracy_change"})
        layers = len(self.capacity)
        below, above = (np.tile(b, (layers, 1)) for b in _bounds(LAYER_FIELDS, set(_SIGNED)))
        return spaces.Dict({"global": spaces.Box(low, high), "layers": spaces.Box(below, above)})

    def action(self, budget: int | None = None, **wanted: Any) -> Action:
        """An action that does nothing but train, except for what is named.

        Args:
            budget: updates to train; `max_budget` if None.
            wanted: `grow`, `prune`, `recycle`: units per layer, or one number for all layers; `grow_rule`,
                `prune_rule`, `recycle_rule`, `insertion`, `optimizer_state`,
                `trainability`, `rewind`: names; `transfer_bias`, `store`, `reset`: truth values.

        Raises:
            UnknownName, InvalidAction: an unknown field or rule name, or a value outside of `action_space`.
        """
        defaults = Edit()
        action: Action = {kind: np.zeros(len(self.capacity), dtype=np.int64) for kind in KINDS}
        action |= {name: names.index(getattr(defaults, name)) for name, names in RULE_FIELDS.items()}
        action |= {"budget": self.max_budget if budget is None else budget, **dict.fromkeys(SWITCHES, 0)}
        for name, value in wanted.items():
            look_up(action, name, "field of an action")
            if name in RULE_FIELDS:
                look_up(dict.fromkeys(RULE_FIELDS[name]), value, name.replace("_", " "))
                action[name] = RULE_FIELDS[name].index(value)
            elif name in KINDS:
                action[name] = np.full(len(self.capacity), value) if np.ndim(value) == 0 else np.array(value)
            elif name in SWITCHES and isinstance(value, (bool, np.bool_)):
                action[name] = int(value)
            else:
                action[name] = value
        check_action(action, self.action_space)
        return action


def check_action(action: object, space: spaces.Dict) -> None:
    """Raise `InvalidAction`, naming the field and what is allowed, if `action` lies outside of `space`."""
    if not isinstance(action, Mapping):
        raise InvalidAction(
            f"The action is {action!r}; give a dict with the keys {', '.join(space)}: what `episode.action(...)` makes."
        )
    if set(action) != set(space):
        missing, extra = sorted(set(space) - set(action)), sorted(map(str, set(action) - set(space)))
        raise InvalidAction(f"The action lacks {missing} and has the unknown {extra}; it needs {', '.join(space)}.")
    for name, part in space.items():
        if part.contains(action[name]):
            continue
        if isinstance(part, spaces.MultiDiscrete):
            allowed = (
                f"{len(part.nvec)} whole numbers (an integer array), at most {(part.nvec - 1).tolist()}, none negative"
            )
        else:
            assert isinstance(part, spaces.Discrete)
            allowed = f"a whole number from {part.start} to {part.start + part.n - 1}"
            if name in RULE_FIELDS:
                allowed += f" ({', '.join(f'{i}: {rule}' for i, rule in enumerate(RULE_FIELDS[name]))})"
        raise InvalidAction(f"action[{name!r}] is {action[name]!r}; give {allowed}.")


def to_plan(action: Action) -> Plan:
    """The plan that a checked action stands for."""
    fields: dict[str, Any] = {kind: tuple(int(count) for count in action[kind]) for kind in KINDS}
    fields |= {name: names[int(action[name])] for name, names in RULE_FIELDS.items()}
    fields |= {name: bool(action[name]) for name in SWITCHES}
    edit = Edit(**fields)
    return Plan(edit, int(action["budget"]))


class Codec:
    """Speaks Gymnasium for the learners of a lifetime.

    illegal: what to do about counts that are in the space, but not possible now (see `ILLEGAL`).

    Raises:
        UnknownName: no such treatment.
    """

    def __init__(self, lifetime: Standing, illegal: str = "clip") -> None:
        look_up(ILLEGAL, illegal, "treatment of illegal edits")
        self.lifetime, self.illegal = lifetime, illegal
        self.spec = EpisodeSpec.of(lifetime)
        self.action_space, self.observation_space = self.spec.action_space, self.spec.observation_space

    def decode(self, member: int, action: Action) -> tuple[Plan, Plan]:
        """The plan that `action` asks for, and the one that can be done.

        Raises:
            InvalidAction: outside of the action space. InvalidEdit: impossible now, with illegal="raise".
        """
        check_action(action, self.action_space)
        requested = to_plan(action)
        population = self.lifetime.population
        if self.illegal == "raise":
            check_edit(requested.edit, population.state, member, population.activation)
            return requested, requested
        possible = clip_edit(requested.edit, population.state, member, population.activation)
        return requested, Plan(possible, requested.budget)

    def observe(self, member: int) -> Observation:
        """One learner's observation, float32 within the bounds of the observation space."""
        return {name: values[0] for name, values in self.observe_all([member]).items()}

    def observe_all(self, members: Sequence[int]) -> Observation:
        """The observations of several learners, stacked."""
        life, m = self.lifetime, list(members)
        found = {name: values[m] for name, values in vars(life.diagnosis).items()}
        cap, ones = life.settings.compute_cap, np.ones(len(m))
        whole = {
            "progress": life.position[m] / life.updates,
            "since_edit": _squash(life.position[m] - life.last_edit[m], 100),
            "accuracy": life.accuracy[m],
            "accuracy_change": life.accuracy_change[m],
            "loss": _squash(life.loss[m], 1),
            "compute_left": ones if cap is None else np.maximum(0, 1 - life.ledger.total[m] / cap),
            "at_shift": life.at_shift[m],
        }
        state, slots = life.population.state, np.array(life.population.capacity)
        live = np.stack([state.units[layer].live[m] for layer in state.network.editable], 1)
        layers = {
            "live": live / slots,
            "newborn": found["newborn"],
            "age": _squash(found["age"], 1000),
            "comparable": found["comparable"],
            "log_activation_parity": found["log_activation_parity"] / LOG_PARITY_LIMIT,
            "log_gradient_parity": found["log_gradient_parity"] / LOG_PARITY_LIMIT,
            "log_utility_parity": found["log_utility_parity"] / LOG_PARITY_LIMIT,
            "dormant": found["dormant"],
            "effective_rank": found["effective_rank"] / live,
            "weight_norm": _squash(found["weight_norm"], 1),
            "gradient_norm": _squash(found["gradient_norm"], 1e-3),
            "growable": (slots - live) / slots,
            "prunable": (live - 1) / slots,
        }
        observation = {
            "global": np.stack([whole[name] for name in GLOBAL_FIELDS], 1).astype(np.float32),
            "layers": np.stack([layers[name] for name in LAYER_FIELDS], 2).astype(np.float32),
        }
        for name, box in self.observation_space.items():  # rounding may step over a bound
            assert isinstance(box, spaces.Box)
            np.clip(observation[name], box.low, box.high, out=observation[name])
        return observation

    def info(self, member: int, requested: Plan | None = None, outcome: Outcome | None = None) -> dict[str, Any]:
        """What observation leaves out, as plain numbers and arrays of fixed shapes.

        live: live units per layer. updates: position in the stream. macs: multiply-accumulates so far.
        shift: a new task starts now (never when boundaries are hidden). requested, applied: units
        [grow/prune/recycle, layers]. clipped: whether these differ. diverged: whether training blew up.
        born: whether this step's edit brought newborns. birth_parity: right after birth, log-parities
        [activation/gradient, layers]; 0 where nothing was born.
        """
        layers = len(self.spec.capacity)
        asked, applied = (_counts(plan, layers) for plan in (requested, None if outcome is None else outcome.plan))
        birth = None if outcome is None else outcome.birth
        parity = np.zeros((2, layers))
        if birth is not None:
            parity[:] = birth.log_activation_parity, birth.log_gradient_parity
        return {
            "live": np.array(self.lifetime.population.live(member), dtype=np.int64),
            "updates": int(self.lifetime.position[member]),
            "macs": int(self.lifetime.ledger.total[member]),
            "shift": bool(self.lifetime.at_shift[member]),
            "requested": asked,
            "applied": applied,
            "clipped": requested is not None and outcome is not None and requested.edit != outcome.plan.edit,
            "diverged": bool(self.lifetime.population.state.frozen[member]),
            "born": birth is not None,
            "birth_parity": parity,
        }


def layer_field(observation: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """One field of every editable layer, [layers]."""
    return observation["layers"][:, LAYER_FIELDS.index(name)]


def global_field(observation: Mapping[str, np.ndarray], name: str) -> float:
    """One global field of one observation: a number in [-1, 1]."""
    return float(observation["global"][GLOBAL_FIELDS.index(name)])


def _counts(plan: Plan | None, layers: int) -> np.ndarray:
    edit = Edit() if plan is None else plan.edit
    return np.array([edit.counts(kind, layers) for kind in KINDS], dtype=np.int64)


def _squash(value: Any, half: float) -> Any:
    """Map 0 .. infinity to 0 .. 1, with 1/2 at `half`; NaN and infinity to 1."""
    return np.nan_to_num(1 / (1 + half / np.maximum(value, 1e-30)), nan=1.0)


def _bounds(names: Sequence[str], signed: set[str]) -> tuple[np.ndarray, np.ndarray]:
    low = np.array([-1.0 if name in signed else 0.0 for name in names], dtype=np.float32)
    return low, np.ones(len(names), dtype=np.float32)
