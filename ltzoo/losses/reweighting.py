"""Re-weighting: class weights over the epochs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ltzoo.losses.counts import as_counts


@dataclass(frozen=True)
class Reweighting(ABC):
    """How the class weights change over the epochs.

    Attributes:
        name: the word that stands for it in a recipe.
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
        """Move its milestones for a training of `epochs` instead of `of` epochs, rounding down."""
        return self


@dataclass(frozen=True)
class NoReweighting(Reweighting):
    """Every class weighs 1."""

    name: ClassVar[str] = "none"

    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """See `Reweighting.weights`."""
        return torch.ones_like(as_counts(class_counts))


@dataclass(frozen=True)
class DRW(Reweighting):
    """Deferred re-weighting (Cao 2019): from epoch `start` on, weights by the effective number of images.

    w_j is proportional to (1 - beta) / (1 - beta^n_j) (Cui 2019), scaled to add up to C. Paper A's text says
    1/n_j; its code does this.

    Attributes:
        start: the first epoch with weights, from 0.
        beta: in [0, 1).
    """

    start: int
    beta: float
    name: ClassVar[str] = "drw"

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta must lie in [0, 1), not {self.beta}")
        if self.start < 0:
            raise ValueError(f"start must be an epoch from 0 on, not {self.start}")

    def weights(self, class_counts: Tensor | Sequence[int], epoch: int) -> Tensor:
        """See `Reweighting.weights`."""
        counts = as_counts(class_counts)
        if epoch < self.start:
            return torch.ones_like(counts)
        weights = (1 - self.beta) / (1 - self.beta**counts)
        return weights * (len(counts) / weights.sum())

    def scaled(self, epochs: int, of: int) -> "DRW":
        """See `Reweighting.scaled`."""
        return replace(self, start=self.start * epochs // of)


REWEIGHTINGS: dict[str, type[Reweighting]] = {kind.name: kind for kind in (NoReweighting, DRW)}
