"""Re-weighting: class weights that may change over the epochs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ltzoo.losses.loss import as_counts


@dataclass(frozen=True)
class Reweighting(ABC):
    """How the class weights change over the epochs.

    Attributes:
        name: its name in a recipe.
    """

    name: ClassVar[str]

    @abstractmethod
    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """Compute the weights of one epoch.

        Args:
            class_counts: (C,) training images of each class.
            epoch: the epoch, from 0.

        Returns:
            (C,) float64 weights that add up to C.
        """

    def scaled(self, epochs: int, of: int) -> "Reweighting":
        """Scale its milestones to a training of `epochs` instead of `of` epochs, rounding down."""
        return self


@dataclass(frozen=True)
class NoReweighting(Reweighting):
    """Every class has weight 1."""

    name: ClassVar[str] = "none"

    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """See `Reweighting.weights`."""
        return torch.ones_like(as_counts(class_counts))


@dataclass(frozen=True)
class ClassBalanced(Reweighting):
    """Class-balanced weights (Cui 2019), from the first epoch on.

    w_j is proportional to (1 - beta) / (1 - beta^n_j), the inverse of the effective number of images, scaled to add up
    to C.

    Attributes:
        beta: in [0, 1]. 0 gives every class the same weight; 1 is the limit, 1 / n_j.
    """

    beta: float
    name: ClassVar[str] = "cb"

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta must lie in [0, 1], not {self.beta}")

    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """See `Reweighting.weights`."""
        counts = as_counts(class_counts)
        weights = 1 / counts if self.beta == 1 else (1 - self.beta) / (1 - self.beta**counts)
        return weights * (len(counts) / weights.sum())


@dataclass(frozen=True)
class InversePower(Reweighting):
    """Weights proportional to n_j^-rho from the first epoch on: the generalized re-weighting of DisAlign (Zhang 2021).

    Attributes:
        rho: the exponent, finite and not below 0; 0 gives every class the same weight.
    """

    rho: float
    name: ClassVar[str] = "inverse_power"

    def __post_init__(self) -> None:
        if not 0 <= self.rho < math.inf:
            raise ValueError(f"rho must be finite and not below 0, not {self.rho}")

    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """See `Reweighting.weights`."""
        counts = as_counts(class_counts)
        weights = (counts / counts.min()) ** -self.rho  # at most 1, so that no exponent overflows
        return weights * (len(counts) / weights.sum())


@dataclass(frozen=True)
class DRW(Reweighting):
    """Deferred re-weighting (Cao 2019): the weights of `ClassBalanced` from epoch `start` on, none before.

    The text of Rangwani 2022 says 1 / n_j, which is beta = 1; its code has 0.9999.

    Attributes:
        start: the first epoch with weights, from 0.
        beta: see `ClassBalanced`.
    """

    start: int
    beta: float
    name: ClassVar[str] = "drw"

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"start must be an epoch from 0 on, not {self.start}")
        ClassBalanced(self.beta)

    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """See `Reweighting.weights`."""
        begun = epoch >= self.start
        return (ClassBalanced(self.beta) if begun else NoReweighting()).weights(class_counts, epoch)

    def scaled(self, epochs: int, of: int) -> "DRW":
        """See `Reweighting.scaled`."""
        return replace(self, start=self.start * epochs // of)


REWEIGHTINGS: dict[str, type[Reweighting]] = {
    kind.name: kind for kind in (NoReweighting, ClassBalanced, InversePower, DRW)
}
