"""The settings of a learner."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from plastic_env.errors import InvalidSetting, check_number, is_whole, look_up
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.maintenance import Maintenance
from plastic_env.learner.normalisation import NORMS
from plastic_env.learner.optimizers import Adam, Optimizer
from plastic_env.learner.parameters import INITS

_WRITTEN = re.compile(r"(fixed_)?(dense|conv)(\d+)(?:_kernel(\d+))?(?:_pool(\d+))?")


@dataclass(frozen=True)
class Dense:
    """A fully connected hidden layer.

    units: slots (capacity). editable: whether edits may change it; if not, all its units are live.
    """

    units: int
    editable: bool = True

    def __post_init__(self) -> None:
        _check_whole(self, "units")
        _check_editable(self)


@dataclass(frozen=True)
class Conv:
    """A convolution of stride 1 with zero padding, followed by max-pooling; its units are its output channels.

    channels: slots (capacity). kernel: side, odd. pool: side of the pooling windows, which don't overlap; 1 for none.
    editable: whether edits may change it; if not, all its units are live.

    Raises:
        InvalidSetting: values outside of these.
    """

    channels: int
    kernel: int = 3
    pool: int = 2
    editable: bool = True

    def __post_init__(self) -> None:
        _check_whole(self, "channels", "kernel", "pool")
        if self.kernel % 2 == 0:
            raise InvalidSetting(f"{self} has an even kernel; give an odd one, which keeps the size of the image.")
        _check_editable(self)


@dataclass(frozen=True)
class LearnerSettings:
    """Everything about a learner but its task stream and its seed.

    hidden: the hidden layers from the inputs up: `Conv(...)`, `Dense(...)`, or a number of slots, which stands for
        an editable dense layer. Where only plain values go, a layer can be written down: "conv32", "dense64",
        "conv32_kernel5_pool1"; with "fixed_" before it, it is not editable.
    live: fraction of each editable layer's slots that are live from the start; at least one unit is.
    activation: a name in `ACTIVATIONS`. norm: a name in `NORMS`: what normalises pre-activations of hidden layers.
    init: a name in `INITS`; fan-in counts slots, not live units.
    optimizer: `Adam(...)`, `SGD(...)` or `UPGD(...)`.
    maintenance: rules that keep the learner plastic, of each kind at most one (`maintenance.py`): `(L2Init(),)`.

    Raises:
        InvalidSetting, UnknownName: values outside of these.
    """

    hidden: tuple[int | str | Dense | Conv, ...] = (64, 64)
    live: float = 1.0
    activation: str = "relu"
    norm: str = "none"
    init: str = "torch"
    optimizer: Optimizer = field(default_factory=Adam)
    maintenance: tuple[Maintenance, ...] = ()

    def __post_init__(self) -> None:
        look_up(ACTIVATIONS, self.activation, "activation")
        look_up(NORMS, self.norm, "normalisation")
        look_up(INITS, self.init, "initialisation")
        if not isinstance(self.hidden, (tuple, list)) or not all(
            isinstance(spec, (Dense, Conv, str)) or is_whole(spec, 1) for spec in self.hidden
        ):
            raise InvalidSetting(
                f"hidden is {self.hidden!r}; give a tuple of positive whole numbers, Dense(...), Conv(...) and layers "
                "written down, such as 'conv32_kernel5'."
            )
        object.__setattr__(self, "hidden", tuple(_shortest(spec) for spec in self.hidden))
        if not self.slots:
            raise InvalidSetting(f"hidden is {self.hidden!r}; at least one layer must be editable.")
        check_number(self, "live", 0, 1, ends="(]")
        if isinstance(self.optimizer, type) or not hasattr(self.optimizer, "schedule"):
            raise InvalidSetting(
                f"optimizer is {self.optimizer!r}; give plastic_env.Adam(...), plastic_env.SGD(...) or "
                "plastic_env.UPGD(...)."
            )
        self._check_maintenance()

    def _check_maintenance(self) -> None:
        rules = self.maintenance
        if not isinstance(rules, (tuple, list)) or any(isinstance(r, type) or not hasattr(r, "dress") for r in rules):
            raise InvalidSetting(f"maintenance is {rules!r}; give a tuple of rules, such as (L2Init(1e-2),).")
        object.__setattr__(self, "maintenance", tuple(rules))
        if len({type(rule) for rule in rules}) < len(rules):
            raise InvalidSetting(f"maintenance is {rules!r}; give each kind of rule at most once.")
        for rule in rules:
            rule.check(self)

    @property
    def layers(self) -> tuple[Dense | Conv, ...]:
        """The hidden layers, written out."""
        return tuple(spec if isinstance(spec, (Dense, Conv)) else Dense(int(spec)) for spec in self.hidden)

    @property
    def slots(self) -> tuple[int, ...]:
        """Slots of each editable layer."""
        return tuple(_slots(spec) for spec in self.layers if spec.editable)

    @property
    def live_units(self) -> tuple[int, ...]:
        """Live units of each editable layer at the start."""
        return tuple(self.live_of(spec) for spec in self.layers if spec.editable)

    def live_of(self, spec: Dense | Conv) -> int:
        """Live units of one hidden layer at the start."""
        return max(1, round(self.live * _slots(spec))) if spec.editable else _slots(spec)


def _shortest(spec: int | str | Dense | Conv) -> int | Dense | Conv:
    """One way to write one layer: equal settings have equal networks."""
    if isinstance(spec, str):
        spec = _read(spec)
    if isinstance(spec, Dense) and spec.editable:
        return int(spec.units)
    return spec if isinstance(spec, (Dense, Conv)) else int(spec)


def _read(text: str) -> Dense | Conv:
    """A layer that is written down."""
    found = _WRITTEN.fullmatch(text)
    if found is None or (found[2] == "dense" and (found[4] or found[5])):
        raise InvalidSetting(
            f"hidden has the layer {text!r}; write it as conv32, conv32_kernel5_pool1 or dense64, with "
            "fixed_ before it if edits may not change it."
        )
    editable = found[1] is None
    if found[2] == "dense":
        return Dense(int(found[3]), editable)
    return Conv(int(found[3]), kernel=int(found[4] or 3), pool=int(found[5] or 2), editable=editable)


def _slots(spec: Dense | Conv) -> int:
    return spec.units if isinstance(spec, Dense) else spec.channels


def _check_editable(spec: Dense | Conv) -> None:
    if not isinstance(spec.editable, bool):
        raise InvalidSetting(f"{spec} has editable={spec.editable!r}; give True or False.")


def _check_whole(spec: Dense | Conv, *names: str) -> None:
    for name in names:
        if not is_whole(getattr(spec, name), 1):
            raise InvalidSetting(f"{spec} has {name}={getattr(spec, name)!r}; give a whole number of at least 1.")
