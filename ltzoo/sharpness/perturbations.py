"""The perturbations that have a name. Each one is a frozen record that fills the step's table, epoch by epoch."""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor

from ltzoo.sharpness.partition import Quantile, tail_partition
from ltzoo.sharpness.radius import Radius, RadiusSchedule, check_gamma, check_radius, in_first_stage, radius_at
from ltzoo.sharpness.table import Direction, Group, GroupTable


@dataclass(frozen=True)
class Perturbation(ABC):
    """How the point at which the gradient is taken moves away from w.

    Every field that is a number must be finite and not below 0; a field can hold a schedule in the place of a radius.

    Attributes:
        name: the word that stands for it in a recipe.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float):
                check_radius(field.name, value)

    @abstractmethod
    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """Fill the table of one epoch.

        Args:
            class_counts: (C,) training images of each class; the table lies on its device.
            epoch: the epoch, from 0.
            epochs: the length T of the whole training.
        """

    @abstractmethod
    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """Name the radii of one epoch as a log shows them: `rho`, or `rho_head` and `rho_tail`; none for SGD."""

    def scaled(self, epochs: int, of: int) -> Self:
        """Move its schedules' milestones for a training of `epochs` instead of `of` epochs, rounding down."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {key: value.scaled(epochs, of) for key, value in values.items() if isinstance(value, RadiusSchedule)}
        return replace(self, **moved)


@dataclass(frozen=True)
class NoPerturbation(Perturbation):
    """Plain SGD: one group, which stays at w."""

    name: ClassVar[str] = "sgd"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """See `Perturbation.table`."""
        return GroupTable.build([Group(_everyone(class_counts), 0.0)])

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {}


@dataclass(frozen=True)
class SAM(Perturbation):
    """Sharpness-aware minimization (Foret 2021): all classes climb along their common gradient.

    Attributes:
        rho: radius, in units of the parameters' global L2 norm.
    """

    rho: Radius
    name: ClassVar[str] = "sam"
    direction: ClassVar[Direction] = "gradient"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """See `Perturbation.table`."""
        radius = radius_at(self.rho, epoch, epochs)
        return GroupTable.build([Group(_everyone(class_counts), radius)], direction=self.direction)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}


@dataclass(frozen=True)
class PGD(SAM):
    """Perturbed gradient descent (Jin 2017): isotropic Gaussian noise on the weights.

    The gradient is taken at the noisy weights, w itself stays. Paper A gives no setting, nor which noise it was.

    Attributes:
        rho: the noise's L2 norm over all parameters, in the mean square: each weight's standard deviation times the
            root of their number.
    """

    name: ClassVar[str] = "pgd"
    direction: ClassVar[Direction] = "isotropic"


@dataclass(frozen=True)
class LPFSGD(Perturbation):
    """Low-pass filtering SGD (Bisla 2022): each part of the batch sees weights with noise scaled to their filters.

    Attributes:
        std: standard deviation of the noise on a filter, in units of the filter's norm.
        parts: M, the number of parts; fewer where a batch has fewer images.
    """

    std: Radius
    parts: int
    name: ClassVar[str] = "lpfsgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts < 1:
            raise ValueError(f"parts must be at least 1, not {self.parts}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """See `Perturbation.table`."""
        group = Group(_everyone(class_counts), radius_at(self.std, epoch, epochs))
        return GroupTable.build([group], direction="filter", parts=self.parts)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`; the standard deviation stands under `rho`."""
        return {"rho": radius_at(self.std, epoch, epochs)}


@dataclass(frozen=True)
class TailPerturbation(Perturbation):
    """Head and tail classes climb apart, each along its own gradient; both losses are sums over the whole batch size.

    Attributes:
        eta: a class with fewer than eta training images is tail; a number, or a quantile of the class counts.
    """

    eta: float | Quantile

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """See `Perturbation.table`."""
        tail = tail_partition(torch.as_tensor(class_counts), self.eta)
        radii = self.radii(epoch, epochs)
        return GroupTable.build([Group(~tail, radii["rho_head"]), Group(tail, radii["rho_tail"])])


@dataclass(frozen=True)
class ImbSAM(TailPerturbation):
    """ImbSAM (Zhou 2023): only the tail climbs.

    Attributes:
        rho: the tail's radius.
        normalization: "batch", the papers' form: both losses are sums over the whole batch size; "double_tail", the
            official code's: as that, the tail's loss twice; "group", that of paper B's code: each loss is divided by
            its group's own images (the sum of their class weights).
    """

    rho: Radius
    normalization: Literal["batch", "double_tail", "group"] = "batch"
    name: ClassVar[str] = "imbsam"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalization not in ("batch", "double_tail", "group"):
            raise ValueError(f"normalization must be batch, double_tail or group, not {self.normalization!r}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """See `Perturbation.table`."""
        plain = super().table(class_counts, epoch, epochs)
        if self.normalization == "group":
            return replace(plain, reduction="group")
        tail = tail_partition(torch.as_tensor(class_counts), self.eta)
        twice = self.normalization == "double_tail"
        factors = tuple(2.0 if twice and bool(classes[tail].any()) else 1.0 for classes in plain.members)
        return replace(plain, factors=factors)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho_head": 0.0, "rho_tail": radius_at(self.rho, epoch, epochs)}


@dataclass(frozen=True)
class SAMExt(TailPerturbation):
    """SAM (ext.) (Lyu 2025): head and tail climb apart, through the whole training.

    Attributes:
        rho_head: the head's radius.
        rho_tail: the tail's radius.
    """

    rho_head: Radius
    rho_tail: Radius
    name: ClassVar[str] = "samext"

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {
            "rho_head": radius_at(self.rho_head, epoch, epochs),
            "rho_tail": radius_at(self.rho_tail, epoch, epochs),
        }


@dataclass(frozen=True)
class SSESAM(SAMExt):
    """Stage-wise saddle escaping SAM (Lyu 2025): both climb in stage 1, the tail alone in stage 2.

    Stage 1 is the epochs 0 .. gamma*T - 1. gamma = 1 is SAM (ext.), gamma = 0 is ImbSAM.

    Attributes:
        rho_head: the head's radius in stage 1.
        rho_tail: the tail's radius.
        gamma: the share of the epochs that belongs to stage 1, in [0, 1].
    """

    gamma: float
    name: ClassVar[str] = "ssesam"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gamma(self.gamma)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        both = super().radii(epoch, epochs)
        return both if in_first_stage(self.gamma, epoch, epochs) else both | {"rho_head": 0.0}


PERTURBATIONS: dict[str, type[Perturbation]] = {
    kind.name: kind for kind in (NoPerturbation, SAM, ImbSAM, SAMExt, SSESAM, PGD, LPFSGD)
}

_Kind = TypeVar("_Kind", bound=type[Perturbation])


def register_perturbation(kind: _Kind) -> _Kind:
    """Add a perturbation, so that recipes can hold it; usable as a decorator.

    Args:
        kind: a frozen dataclass that extends `Perturbation`. Its `name` is a word of lower-case letters: digits after
            it are radii in a recipe's name.

    Raises:
        ValueError: it is no such class, or its name is taken.
    """
    sound = isinstance(kind, type) and issubclass(kind, Perturbation) and "__dataclass_fields__" in vars(kind)
    if not sound or inspect.isabstract(kind):
        raise ValueError(f"{kind!r} is no perturbation: it must be a frozen dataclass that extends Perturbation whole")
    name = getattr(kind, "name", "")
    if not re.fullmatch("[a-z]+", name):
        raise ValueError(f"{kind.__name__}.name must be a word of lower-case letters, not {name!r}")
    if name in PERTURBATIONS:
        raise ValueError(f"a perturbation called {name!r} exists already; choose another name")
    PERTURBATIONS[name] = kind
    return kind


def _everyone(class_counts: Tensor | Sequence[int]) -> Tensor:
    """Mark all classes, (C,) bool."""
    return torch.ones_like(torch.as_tensor(class_counts), dtype=torch.bool)
