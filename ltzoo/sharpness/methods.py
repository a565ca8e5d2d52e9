"""Perturbations by name: SAM and its relatives as frozen records that make the step's table for each epoch."""

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor

from ltzoo.sharpness.partition import Quantile, tail_partition
from ltzoo.sharpness.schedules import Radius, RadiusSchedule, check_gamma, check_radius, in_first_stage, radius_at
from ltzoo.sharpness.table import Direction, Row, Table


@dataclass(frozen=True)
class Perturbation(ABC):
    """How the weights at which the gradient is taken differ from w.

    Every field that is a number must be finite and not below 0; a radius can be a schedule instead of a number.

    Attributes:
        name: its name in a recipe.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float):
                check_radius(field.name, value)

    @abstractmethod
    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """Make the table of one epoch.

        Args:
            class_counts: (C,) training images of each class; the table is on the same device.
            epoch: the epoch, from 0.
            epochs: the length T of the whole training.
        """

    @abstractmethod
    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """Return the radii of one epoch for a log: `rho`, or `rho_head` and `rho_tail`; none for SGD."""

    def scaled(self, epochs: int, of: int) -> Self:
        """Scale its schedules' milestones to a training of `epochs` instead of `of` epochs, rounding down."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {key: value.scaled(epochs, of) for key, value in values.items() if isinstance(value, RadiusSchedule)}
        return replace(self, **moved)


@dataclass(frozen=True)
class NoPerturbation(Perturbation):
    """Plain SGD: the gradient at w."""

    name: ClassVar[str] = "sgd"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """See `Perturbation.table`."""
        return Table([Row(None, _ones(class_counts), 0.0)])

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {}


@dataclass(frozen=True)
class SAM(Perturbation):
    """Sharpness-aware minimization (Foret 2021): one row of all classes.

    Attributes:
        rho: radius, in units of the parameters' global L2 norm.
    """

    rho: Radius
    name: ClassVar[str] = "sam"
    direction: ClassVar[Direction] = "gradient"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """See `Perturbation.table`."""
        everyone = _ones(class_counts)
        return Table([Row(everyone, everyone, radius_at(self.rho, epoch, epochs))], direction=self.direction)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}


@dataclass(frozen=True)
class PGD(SAM):
    """Perturbed gradient descent (Jin 2017): isotropic Gaussian noise on the weights.

    The gradient is taken at the noisy weights; w itself does not change. Rangwani 2022 gives neither the setting nor
    the kind of noise.

    Attributes:
        rho: the noise's L2 norm over all parameters, in the mean square: the standard deviation of each weight times
            the square root of their number.
    """

    name: ClassVar[str] = "pgd"
    direction: ClassVar[Direction] = "isotropic"


@dataclass(frozen=True)
class LPFSGD(Perturbation):
    """Low-pass filtering SGD (Bisla 2022): for each part of the batch, noise in proportion to the norm of each filter.

    Attributes:
        std: standard deviation of the noise on a filter, in units of the filter's norm.
        parts: M, the number of parts; fewer if a batch has fewer images.
    """

    std: Radius
    parts: int
    name: ClassVar[str] = "lpfsgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts < 1:
            raise ValueError(f"parts must be at least 1, not {self.parts}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """See `Perturbation.table`."""
        row = Row(None, _ones(class_counts), radius_at(self.std, epoch, epochs))
        return Table([row], direction="filter", parts=self.parts)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`; the standard deviation is called `rho`."""
        return {"rho": radius_at(self.std, epoch, epochs)}


@dataclass(frozen=True)
class TailPerturbation(Perturbation):
    """A row for the head classes and a row for the tail classes, each with its own radius.

    Both losses are sums over the images of their classes, divided by the size of the whole batch.

    Attributes:
        eta: a class with fewer than eta training images is tail; a number, or a quantile of the class counts.
    """

    eta: float | Quantile

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """See `Perturbation.table`."""
        is_tail = tail_partition(torch.as_tensor(class_counts), self.eta)
        head, tail = (~is_tail).float(), is_tail.float()
        radii = self.radii(epoch, epochs)
        return Table([Row(head, head, radii["rho_head"]), Row(tail, tail, radii["rho_tail"])])


@dataclass(frozen=True)
class ImbSAM(TailPerturbation):
    """ImbSAM (Zhou 2023): only the row of the tail classes moves.

    Attributes:
        rho: the tail's radius.
        normalization: "batch", the papers' form: both losses are divided by the size of the whole batch; "double_tail",
            the official code's form: the same with the tail's loss doubled; "group", the form in the code of Lyu 2025:
            each loss is divided by the number of its own images (the sum of their class weights).
    """

    rho: Radius
    normalization: Literal["batch", "double_tail", "group"] = "batch"
    name: ClassVar[str] = "imbsam"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalization not in ("batch", "double_tail", "group"):
            raise ValueError(f"normalization must be batch, double_tail or group, not {self.normalization!r}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """See `Perturbation.table`."""
        plain = super().table(class_counts, epoch, epochs)
        if self.normalization == "batch":
            return plain
        if self.normalization == "group":
            return replace(plain, reduction="group")
        is_tail = tail_partition(torch.as_tensor(class_counts), self.eta)
        head, twice = (~is_tail).float(), 2 * is_tail.float()
        radii = self.radii(epoch, epochs)
        return Table([Row(None, head, radii["rho_head"]), Row(twice, twice, radii["rho_tail"])], reweights=True)

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho_head": 0.0, "rho_tail": radius_at(self.rho, epoch, epochs)}


@dataclass(frozen=True)
class SAMExt(TailPerturbation):
    """SAM (ext.) (Lyu 2025): head and tail rows both move, during the whole training.

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
    """Stage-wise saddle escaping SAM (Lyu 2025): head and tail rows move in stage 1, only the tail row in stage 2.

    Stage 1 is the epochs 0 .. gamma*T - 1. gamma = 1 is SAM (ext.), gamma = 0 is ImbSAM.

    Attributes:
        rho_head: the head's radius in stage 1.
        rho_tail: the tail's radius.
        gamma: the fraction of the epochs that belong to stage 1, in [0, 1].
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


@dataclass(frozen=True)
class FocalSAM(Perturbation):
    """Focal-SAM (Li 2025): the rarer a class, the more of its loss is taken at the perturbed weights.

    With the class frequencies pi_y and c_y = lam * (1 - pi_y)^gamma, a row that stays at w descends the loss with class
    weights 1 - c, and a row that moves ascends and descends the loss with class weights c. 1 - c may be negative.

    Attributes:
        rho: radius, in units of the parameters' global L2 norm.
        lam: the largest c, that of a class of frequency 0; 1 with gamma = 0 is SAM, 0 is SGD.
        gamma: exponent.
    """

    rho: Radius
    lam: float
    gamma: float
    name: ClassVar[str] = "focalsam"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> Table:
        """See `Perturbation.table`."""
        counts = torch.as_tensor(class_counts)
        exact = counts.cpu().double()
        focus = self.lam * (1 - exact / exact.sum()) ** self.gamma
        # Apple's GPUs have no float64.
        dtype = torch.float32 if counts.device.type == "mps" else torch.float64
        still, moving = (1 - focus).to(counts.device, dtype), focus.to(counts.device, dtype)
        return Table([Row(None, still, 0.0), Row(moving, moving, radius_at(self.rho, epoch, epochs))])

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}


PERTURBATIONS: dict[str, type[Perturbation]] = {
    kind.name: kind for kind in (NoPerturbation, SAM, ImbSAM, SAMExt, SSESAM, FocalSAM, PGD, LPFSGD)
}

_Kind = TypeVar("_Kind", bound=type[Perturbation])


def register_perturbation(kind: _Kind) -> _Kind:
    """Add a perturbation, so that recipes can use it; usable as a decorator.

    Args:
        kind: a frozen dataclass that extends `Perturbation`. Its `name` is a word of lower-case letters: digits after
            it are radii in a recipe's name.

    Raises:
        ValueError: it is not such a class, or its name is taken.
    """
    is_record = isinstance(kind, type) and issubclass(kind, Perturbation) and "__dataclass_fields__" in vars(kind)
    if not is_record or inspect.isabstract(kind):
        raise ValueError(f"{kind!r} must be a frozen dataclass that extends Perturbation, with table and radii")
    name = getattr(kind, "name", "")
    if not re.fullmatch("[a-z]+", name):
        raise ValueError(f"{kind.__name__}.name must be a word of lower-case letters, not {name!r}")
    if name in PERTURBATIONS:
        raise ValueError(f"a perturbation called {name!r} exists already; choose another name")
    PERTURBATIONS[name] = kind
    return kind


def _ones(class_counts: Tensor | Sequence[int]) -> Tensor:
    """Weigh all classes 1, (C,)."""
    return torch.ones_like(torch.as_tensor(class_counts), dtype=torch.float32)
