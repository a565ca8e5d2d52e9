"""The table that a step runs on: groups of classes, and how far each group's loss moves the weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GroupTable:
    """Groups of classes that are perturbed apart, one row a group.

    Attributes:
        members: (K, C) bool; `members[k, c]` says that class c belongs to group k. Each class belongs to exactly one.
        radii: K radii rho_k >= 0, in units of the parameters' global L2 norm. A group of radius 0 stays at w.

    Raises:
        ValueError: the groups do not partition the classes, or a radius is negative or not finite.
    """

    members: Tensor
    radii: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.members.ndim != 2 or self.members.dtype != torch.bool:
            raise ValueError(
                f"members must be a (groups, classes) bool tensor, not {tuple(self.members.shape)} {self.members.dtype}"
            )
        if len(self.radii) != len(self.members):
            raise ValueError(f"{len(self.members)} groups need as many radii, not {len(self.radii)}")
        if not all(math.isfinite(radius) and radius >= 0 for radius in self.radii):
            raise ValueError(f"radii must be finite and not below 0, not {self.radii}")
        owners = self.members.sum(dim=0)
        if bool((owners != 1).any()):
            wrong = torch.nonzero(owners != 1).flatten().tolist()
            raise ValueError(f"each class must belong to exactly one group; these do not: {wrong}")

    @classmethod
    def build(cls, rows: Sequence[tuple[Tensor, float]]) -> "GroupTable":
        """Build a table from (classes, radius) rows, leaving out rows without a class.

        Args:
            rows: for each group its (C,) bool mask of classes and its radius.
        """
        kept = [(classes, radius) for classes, radius in rows if bool(classes.any())]
        return cls(torch.stack([classes for classes, _ in kept]), tuple(float(radius) for _, radius in kept))


def tail_partition(class_counts: Tensor, eta: float) -> Tensor:
    """Mark the classes that ImbSAM and SSE-SAM call tail: n_j < eta (Lyu 2025).

    Args:
        class_counts: (C,) training images of each class.
        eta: threshold in images.

    Returns:
        (C,) bool, on the device of `class_counts`.
    """
    return class_counts < eta
