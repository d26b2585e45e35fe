"""The settings of a learner."""

from __future__ import annotations

from dataclasses import dataclass, field

from plastic_env.errors import InvalidSetting, is_whole, look_up
from plastic_env.learner.activations import ACTIVATIONS
from plastic_env.learner.network import INITS
from plastic_env.learner.optimizers import Adam, Optimizer


@dataclass(frozen=True)
class LearnerSettings:
    """Everything about a learner but its task stream and its seed.

    hidden: slots (capacity) of each hidden layer.
    live: fraction of each layer's slots that are live from the start; at least one unit is.
    activation: a name in `ACTIVATIONS`.
    init: a name in `INITS`; fan-in counts slots, not live units.
    optimizer: `Adam(...)` or `SGD(...)`.

    Raises:
        InvalidSetting, UnknownName: values outside of these.
    """

    hidden: tuple[int, ...] = (64, 64)
    live: float = 1.0
    activation: str = "relu"
    init: str = "torch"
    optimizer: Optimizer = field(default_factory=Adam)

    def __post_init__(self) -> None:
        look_up(ACTIVATIONS, self.activation, "activation")
        look_up(INITS, self.init, "initialisation")
        if (
            not isinstance(self.hidden, (tuple, list))
            or not self.hidden
            or not all(is_whole(n, 1) for n in self.hidden)
        ):
            raise InvalidSetting(f"hidden is {self.hidden!r}; give a tuple of at least one positive whole number.")
        object.__setattr__(self, "hidden", tuple(int(slots) for slots in self.hidden))
        if isinstance(self.live, bool) or not isinstance(self.live, (int, float)) or not 0 < self.live <= 1:
            raise InvalidSetting(f"live is {self.live!r}; give a fraction in (0, 1].")
        if not hasattr(self.optimizer, "schedule"):
            raise InvalidSetting(
                f"optimizer is {self.optimizer!r}; give plastic_env.Adam(...) or plastic_env.SGD(...)."
            )

    @property
    def live_units(self) -> tuple[int, ...]:
        """Live units of each hidden layer at the start."""
        return tuple(max(1, round(self.live * slots)) for slots in self.hidden)
