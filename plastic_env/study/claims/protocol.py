"""What is run for the paper's claims (arXiv 2605.15435), at three sizes.

Where the paper doesn't say how something is done, our reading is a field here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from plastic_env.agents import METHODS
from plastic_env.errors import InvalidSetting
from plastic_env.learner.allocation import allocate_units
from plastic_env.learner.settings import LearnerSettings
from plastic_env.scenarios import find
from plastic_env.scenarios.data import load
from plastic_env.streams.stream import Signature
from plastic_env.study.sweep import Study

TRUNK = ("fixed_conv32", "fixed_conv64")  # of the paper's ConvNet
CONVNET = (*TRUNK, 512, 512, 256)
MLP = (256, 256)
THREE = ("dense", "grow", "prune")
COMPARED = (*THREE, "prune_no_rewind", "dense_rewind")
RANKED = ("dense", "grow", "grow_rsl", "prune")  # on streams
WEIGHED = (*RANKED, "dense_rewind")  # at equal compute
OWN_AGES = "grow"  # among `INTERVENTIONS`: newborns' Adam state has their own age
INTERVENTIONS = {
    OWN_AGES: "",
    "two_speed": "+trainability={two_speed}",
    "moment_transplant": "+optimizer_state=transplant",
    "net2wider": "+insertion=net2wider",
    "gradmax_selection": "+grow_rule=gradmax",
    "gradient_selection": "+grow_rule=gradient",
    "rsl": "+activation=random_smooth_leaky_iid",
}  # the paper's, on its Grow
PADDED = "padded"
BOOKKEEPING = {PADDED: "+optimizer_state=padded"}  # how the newborns' Adam state is kept instead
BOOKKEPT = (OWN_AGES, PADDED, "moment_transplant")
INITS = ("torch", "kaiming")  # of which C5 may hang
PUBLISHED = {
    "mnist": Signature((1, 28, 28), 10),
    "cifar10": Signature((3, 32, 32), 10),
    "cifar100": Signature((3, 32, 32), 100),
    "tiny_imagenet": Signature((3, 64, 64), 200),
}
NARROW = METHODS["grow"].learner.live

Named = dict[str, str]  # methods by what a page calls them, as a study writes them


@dataclass(frozen=True)
class Cycles:
    """Edit cycles on one data set, and tickets of what they end with (the paper's iid protocol; C1 to C7).

    data: name of the data set. hidden: the learner's layers. updates: per cycle; edits fall between cycles.
    batch_size: samples per update. seeds: how many. cycles: likewise. scenario: of which settings are changed.
    compactness: budgets of weights that growing and pruning end at. optimizer, lr, init: of all methods alike.
    annealed: whether the learning rate falls to 0 as a cosine in every cycle anew (our reading of "cosine to 0": over
        all cycles at once, what is rewound late would have no learning rate left to come back with).
    looks: how often parity is measured in a cycle.
    """

    data: str
    hidden: tuple[int | str, ...]
    updates: int
    batch_size: int
    seeds: int
    compactness: tuple[float, ...] = (0.2, 0.5)
    cycles: int = 5
    scenario: str = "IidDigits-small-v0"
    optimizer: str = "sgd"
    lr: float = 0.1
    init: str = "kaiming"
    annealed: bool = True
    looks: int = 6

    @property
    def signature(self) -> Signature:
        """What its learners take in and give out."""
        return signature_of(self.data)

    def study(self, methods: Mapping[str, str]) -> Study:
        """The study of these methods."""
        settings = {
            "data": self.data,
            "tasks": self.cycles,
            "updates": self.updates,
            "batch_size": self.batch_size,
            "hidden": self.hidden,
            "optimizer": self.optimizer,
            "lr": self.lr,
            "init": self.init,
            "cosine": self.updates if self.annealed else 0,
            "max_budget": -(-self.updates // self.looks),
            "probe_samples": 256,
            "ranks": False,
            "tests": "past",
        }
        return Study(self.scenario, tuple(methods.values()), self.seeds, settings)

    def compared(self, compactness: float) -> Named:
        """Dense, Grow, Prune, and the two controls that the paper lacks."""
        return {name: self.edited(name, compactness) for name in COMPARED}

    def edited(self, name: str, compactness: float, options: str = "") -> str:
        """A method whose edits fall between cycles, and that ends at this budget of weights."""
        if name == "dense":
            return name + options
        edits = f"+events={self.cycles - 1}+until={(self.cycles - 1) / self.cycles}"
        if name == "dense_rewind":
            return name + edits + options
        return f"{name}+target={self.target(compactness)}{edits}{options}".replace(" ", "")

    def target(self, compactness: float) -> tuple[float, ...]:
        """Fractions of the slots of each editable layer that keep to a budget of weights."""
        return _target(self.signature, self.hidden, compactness)

    def interventions(self) -> Named:
        """Grow with each of the paper's interventions, and with padded optimizer state, at the first budget."""
        brief = "two_speed" if self.updates > 1955 else "two_speed_brief"
        options = {**INTERVENTIONS, **BOOKKEEPING}
        return {
            name: self.edited("grow", self.compactness[0], option.format(two_speed=brief))
            for name, option in options.items()
        }

    def cut(self, cycles: int) -> Cycles:
        """As many updates in another number of cycles, as far as they can be shared out."""
        return replace(self, cycles=cycles, updates=self.updates * self.cycles // cycles)


@dataclass(frozen=True)
class Shifts:
    """A stream of tasks (C8, C9).

    title: what a page calls it. scenario: its name. changes: settings of it. hidden: the learner's layers. seeds: how
    many. rsl: the activation that the paper uses here.
    compactness: the budget of weights that growing and pruning end at. options: of all methods, such as lr.
    outputs: of the learner, where they aren't one for each class of the data. paper: its figures on this stream.
    Edits fall at shifts, in 20 events over the first half of the stream (when, the paper doesn't say).
    """

    title: str
    scenario: str
    hidden: tuple[int | str, ...]
    rsl: str
    seeds: int
    changes: tuple[tuple[str, Any], ...] = ()
    compactness: float = 0.2
    options: tuple[tuple[str, Any], ...] = ()
    outputs: int = 0
    paper: str = ""

    @property
    def signature(self) -> Signature:
        """What its learners take in and give out."""
        found = signature_of(self.data)
        return Signature(found.inputs, self.outputs or found.outputs)

    @property
    def data(self) -> str:
        """Name of the data set."""
        return str(dict(self.changes).get("data", getattr(find(self.scenario), "data", "")))

    @property
    def methods(self) -> Named:
        """Dense, Grow, Prune, Grow + RSL, and the two controls that the paper lacks."""
        target = f"+target={_target(self.signature, self.hidden, self.compactness)}".replace(" ", "")
        return {
            "dense": "dense",
            "grow": f"grow{target}",
            "grow_rsl": f"grow{target}+activation={self.rsl}",
            "prune": f"prune{target}",
            "prune_no_rewind": f"prune_no_rewind{target}",
            "dense_rewind": "dense_rewind",
        }

    def study(self, *methods: str, updates: int = 0) -> Study:
        """The study of some of the methods, by their names here; with other updates per task, if given."""
        settings = {**dict(self.changes), "hidden": self.hidden, "ranks": False, **dict(self.options)}
        if updates:
            settings["updates"] = updates
        return Study(self.scenario, tuple(self.methods[name] for name in methods), self.seeds, settings)


@dataclass(frozen=True)
class Protocol:
    """All that is run at one size.

    mlp: for C1. images: for C2 to C5. adam: for C6, whose interventions need an optimizer with state. events: numbers
    of cycles that the horizon of `images` is cut into for C7. streams: for C8. classes: for C9.
    says: in words.
    """

    says: str
    mlp: Cycles
    images: Cycles
    adam: Cycles
    streams: tuple[Shifts, ...]
    classes: Shifts
    events: tuple[int, ...] = (5, 10, 20)

    def on(self, images: str) -> Protocol:
        """The same with other data where the claims are about images (C2 to C7, C9)."""
        changes = tuple({**dict(self.classes.changes), "data": images}.items())
        return replace(
            self,
            images=replace(self.images, data=images),
            adam=replace(self.adam, data=images),
            classes=replace(self.classes, changes=changes),
        )


def signature_of(data: str) -> Signature:
    """What learners of a data set take in and give out; of published ones, this is known without having them.

    Raises:
        PlasticEnvError: another data set, which isn't there.
    """
    return PUBLISHED.get(data) or Signature.of(load(data))


@cache
def _target(signature: Signature, hidden: tuple[int | str, ...], compactness: float) -> tuple[float, ...]:
    learner = LearnerSettings(hidden)
    units = allocate_units(learner, signature.inputs, signature.outputs, compactness)
    found = tuple(count / slots for count, slots in zip(units, learner.slots, strict=True))
    if min(found) <= NARROW:
        raise InvalidSetting(
            f"A budget of {compactness:.0%} of the weights leaves {units} of {learner.slots} units, no more than Grow "
            f"begins with ({NARROW:.0%}); choose a larger one."
        )
    return found


_SMALL = Cycles("digit_pairs", ("fixed_conv8", "fixed_conv16", 128, 128, 64), 400, 32, 8)
_MEDIUM = Cycles("cifar10", CONVNET, 300, 64, 5)
_PAPER = Cycles("cifar100", CONVNET, 40 * 391, 128, 10, (0.2, 0.3, 0.4, 0.5))

_PERMUTED = "Dense 80.6, Prune 85.9 to 87.2, Grow 71.5 to 75.7, Grow+RSL 75.1 to 81.3 (PMNIST)"
_RANDOM_LABELS = "Dense 39.2, Prune 94.7 to 95.5, Grow 16.3 to 23.2, Grow+RSL 72.1 to 85.9 (RL-MNIST)"

SIZES: dict[str, Protocol] = {
    "small": Protocol(
        "embedded data; for C2 to C7 images of two digits side by side, in a hundred classes",
        mlp=Cycles("digits", (64, 64), 200, 16, 10),
        images=_SMALL,
        adam=replace(_SMALL, optimizer="adam", lr=0.003),
        streams=(
            Shifts(
                title="permuted pixels",
                scenario="PermutedDigits-small-v0",
                hidden=(64, 64),
                rsl="random_smooth_leaky",
                seeds=10,
                paper=_PERMUTED,
            ),
            Shifts(
                title="random labels",
                scenario="RandomLabelDigits-small-v0",
                hidden=(64, 64),
                rsl="random_smooth_leaky_random_label_mnist",
                seeds=10,
                paper=_RANDOM_LABELS,
            ),
        ),
        classes=Shifts(
            title="class-incremental",
            scenario="SplitDigits-small-v0",
            hidden=(64, 64),
            rsl="random_smooth_leaky_split",
            seeds=10,
            changes=(("tests", "past"),),
        ),
    ),
    "medium": Protocol(
        "the paper's networks and kinds of data, fewer updates, tasks and seeds",
        mlp=Cycles("mnist", MLP, 469, 128, 5),
        images=_MEDIUM,
        adam=replace(_MEDIUM, optimizer="adam", lr=0.001),
        streams=(
            Shifts(
                title="permuted MNIST",
                scenario="PermutedMNIST-paper-v0",
                hidden=MLP,
                rsl="random_smooth_leaky",
                seeds=5,
                changes=(("tasks", 30),),
                options=(("lr", 0.001),),
                paper=_PERMUTED,
            ),
            Shifts(
                title="random-label MNIST",
                scenario="RandomLabelMNIST-paper-v0",
                hidden=MLP,
                rsl="random_smooth_leaky_random_label_mnist",
                seeds=5,
                changes=(("tasks", 15), ("updates", 1500)),
                options=(("lr", 0.001),),
                paper=_RANDOM_LABELS,
            ),
        ),
        classes=Shifts(
            title="class-incremental CIFAR-10",
            scenario="SplitCIFAR100-paper-v0",
            hidden=CONVNET,
            rsl="random_smooth_leaky_split",
            seeds=5,
            changes=(("data", "cifar10"), ("tasks", 5), ("updates", 200), ("tests", "past")),
            options=(("lr", 0.001),),
        ),
    ),
    "paper": Protocol(
        "the published lengths, data and seeds",
        mlp=Cycles("mnist", MLP, 20 * 469, 128, 10, (0.2, 0.3, 0.4, 0.5)),
        images=_PAPER,
        adam=replace(_PAPER, optimizer="adam", lr=0.001),
        streams=(
            Shifts(
                title="random-label CIFAR-10",
                scenario="RandomLabelCIFAR10-paper-v0",
                hidden=CONVNET,
                rsl="random_smooth_leaky_random_label_cifar",
                seeds=10,
                options=(("lr", 0.001),),
            ),
            Shifts(
                title="5+1 CIFAR-100",
                scenario="FivePlusOneCIFAR100-paper-v0",
                hidden=CONVNET,
                rsl="random_smooth_leaky_split",
                seeds=10,
                options=(("lr", 0.001),),
            ),
            Shifts(
                title="pairs of classes",
                scenario="ClassPairsTinyImageNet-paper-v0",
                hidden=CONVNET,
                rsl="random_smooth_leaky_class_pairs",
                seeds=10,
                options=(("lr", 0.001),),
                outputs=2,
            ),
            Shifts(
                title="permuted MNIST",
                scenario="PermutedMNIST-paper-v0",
                hidden=MLP,
                rsl="random_smooth_leaky",
                seeds=10,
                options=(("lr", 0.001),),
                paper=_PERMUTED,
            ),
            Shifts(
                title="random-label MNIST",
                scenario="RandomLabelMNIST-paper-v0",
                hidden=MLP,
                rsl="random_smooth_leaky_random_label_mnist",
                seeds=10,
                options=(("lr", 0.001),),
                paper=_RANDOM_LABELS,
            ),
        ),
        classes=Shifts(
            title="class-incremental CIFAR-100",
            scenario="SplitCIFAR100-paper-v0",
            hidden=CONVNET,
            rsl="random_smooth_leaky_split",
            seeds=10,
            changes=(("tests", "past"),),
            options=(("lr", 0.001),),
        ),
    ),
}
