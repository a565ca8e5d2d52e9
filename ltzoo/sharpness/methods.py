"""SAM, and its relatives that treat head and tail classes apart or rare classes more than others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ltzoo.sharpness.partition import Quantile, tail_partition
from ltzoo.sharpness.perturbation import Perturbation, all_classes, class_weights_dtype
from ltzoo.sharpness.schedules import Radius, check_gamma, in_first_stage, radius_at
from ltzoo.sharpness.table import Direction, Row, Table


@dataclass(frozen=True)
class NoPerturbation(Perturbation):
    """Plain SGD: the gradient at w."""

    name: ClassVar[str] = "sgd"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        return Table([Row(None, all_classes(class_counts), 0.0)])

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
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

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        all_ones = all_classes(class_counts)
        return Table([Row(all_ones, all_ones, radius_at(self.rho, epoch, epochs))], direction=self.direction)

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}


@dataclass(frozen=True)
class TailPerturbation(Perturbation):
    """A row for the head classes and a row for the tail classes, each with its own radius.

    Both losses are sums over the images of their classes, divided by the size of the whole batch.

    Attributes:
        eta: a class with fewer than eta training images is tail; a number, or a quantile of the class counts.
    """

    eta: float | Quantile

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
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

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
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

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
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

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
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

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
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

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        counts = torch.as_tensor(class_counts)
        exact = counts.cpu().double()
        focus = self.lam * (1 - exact / exact.sum()) ** self.gamma
        dtype = class_weights_dtype(counts.device)
        still, moving = (1 - focus).to(counts.device, dtype), focus.to(counts.device, dtype)
        return Table([Row(None, still, 0.0), Row(moving, moving, radius_at(self.rho, epoch, epochs))])

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}
