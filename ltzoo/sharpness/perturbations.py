"""The perturbations that have a name. Each one is a frozen record that fills the step's table, epoch by epoch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from ltzoo.sharpness.table import GroupTable, tail_partition


@dataclass(frozen=True)
class Perturbation(ABC):
    """How the point at which the gradient is taken moves away from w.

    Attributes:
        name: the word that stands for it in a recipe.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} must be finite and not below 0, not {value}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int = 0, epochs: int = 1) -> GroupTable:
        """Fill the table of one epoch.

        Args:
            class_counts: (C,) training images of each class; the table lies on its device.
            epoch: the epoch, from 0.
            epochs: the length T of the whole training.
        """
        return GroupTable.build(self.rows(torch.as_tensor(class_counts), epoch, epochs))

    @abstractmethod
    def rows(self, class_counts: Tensor, epoch: int, epochs: int) -> list[tuple[Tensor, float]]:
        """Name the groups of one epoch: for each its (C,) bool mask of classes and its radius."""

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """Name the radii of one epoch as a log shows them: `rho`, or `rho_head` and `rho_tail`; none for SGD."""
        return {}


@dataclass(frozen=True)
class NoPerturbation(Perturbation):
    """Plain SGD: one group, which stays at w."""

    name: ClassVar[str] = "sgd"

    def rows(self, class_counts: Tensor, epoch: int, epochs: int) -> list[tuple[Tensor, float]]:
        """See `Perturbation.rows`."""
        return [(class_counts >= 0, 0.0)]


@dataclass(frozen=True)
class SAM(Perturbation):
    """Sharpness-aware minimization (Foret 2021): all classes climb along their common gradient.

    Attributes:
        rho: radius, in units of the parameters' global L2 norm.
    """

    rho: float
    name: ClassVar[str] = "sam"

    def rows(self, class_counts: Tensor, epoch: int, epochs: int) -> list[tuple[Tensor, float]]:
        """See `Perturbation.rows`."""
        return [(class_counts >= 0, self.rho)]

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho": self.rho}


@dataclass(frozen=True)
class TailPerturbation(Perturbation):
    """Head and tail classes climb apart, each along its own gradient.

    Attributes:
        eta: a class with fewer than eta training images is tail.
    """

    eta: float

    def rows(self, class_counts: Tensor, epoch: int, epochs: int) -> list[tuple[Tensor, float]]:
        """See `Perturbation.rows`."""
        tail = tail_partition(class_counts, self.eta)
        radii = self.radii(epoch, epochs)
        return [(~tail, radii["rho_head"]), (tail, radii["rho_tail"])]


@dataclass(frozen=True)
class ImbSAM(TailPerturbation):
    """ImbSAM (Zhou 2023) in the papers' form: only the tail climbs, and both losses are sums over the whole batch size.

    Attributes:
        rho: the tail's radius.
    """

    rho: float
    name: ClassVar[str] = "imbsam"

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        return {"rho_head": 0.0, "rho_tail": self.rho}


@dataclass(frozen=True)
class SSESAM(TailPerturbation):
    """Stage-wise saddle escaping SAM (Lyu 2025): both climb in stage 1, the tail alone in stage 2.

    Stage 1 is the epochs 0 .. gamma*T - 1. gamma = 1 is SAM (ext.), gamma = 0 is ImbSAM.

    Attributes:
        rho_head: the head's radius in stage 1.
        rho_tail: the tail's radius.
        gamma: the share of the epochs that belongs to stage 1, in [0, 1].
    """

    rho_head: float
    rho_tail: float
    gamma: float
    name: ClassVar[str] = "ssesam"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma > 1:
            raise ValueError(f"gamma must lie in [0, 1], not {self.gamma}")

    def radii(self, epoch: int, epochs: int) -> dict[str, float]:
        """See `Perturbation.radii`."""
        # Rounded first: 0.29 * 100 is 28.999999999999996 in binary, and stage 1 is 29 epochs long.
        stage_1 = epoch < math.floor(round(self.gamma * epochs, 6))
        return {"rho_head": self.rho_head if stage_1 else 0.0, "rho_tail": self.rho_tail}


PERTURBATIONS: dict[str, type[Perturbation]] = {kind.name: kind for kind in (NoPerturbation, SAM, ImbSAM, SSESAM)}
