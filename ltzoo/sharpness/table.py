"""The table that a step runs on: groups of classes, and how far each group's loss moves the weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Direction = Literal["gradient", "isotropic", "filter"]
Reduction = Literal["batch", "group"]


@dataclass(frozen=True)
class Group:
    """One row of a table.

    Attributes:
        classes: (C,) bool, the classes in it.
        radius: rho_k, see `GroupTable`.
        factor: what its loss is multiplied by.
    """

    classes: Tensor
    radius: float
    factor: float = 1.0


@dataclass(frozen=True)
class GroupTable:
    """Groups of classes that are perturbed apart, one row a group.

    Attributes:
        members: (K, C) bool; `members[k, c]` says that class c belongs to group k. Each class belongs to exactly one.
        radii: K radii rho_k >= 0. A group of radius 0 stays at w.
        factors: K factors > 0 of the groups' losses.
        reduction: what a group's loss is divided by: "batch", the sum of the class weights over the whole batch, so
            that the groups add up to the (weighted) mean loss; "group", the sum over the group's own images.
        direction: where a group moves to. "gradient", up its loss: rho_k is the L2 norm of the move over all parameters
            together. "isotropic", Gaussian noise whose norm is rho_k in the mean square. "filter", Gaussian noise of
            standard deviation rho_k * norm(filter), for each filter (row of a weight; the whole of a vector) apart.
        parts: the batch runs in so many parts, as equal as can be, one after the other, each with noise of its own; 1
            for "gradient".

    Raises:
        ValueError: the groups do not partition the classes, or a value makes no sense.
    """

    members: Tensor
    radii: tuple[float, ...]
    factors: tuple[float, ...]
    reduction: Reduction = "batch"
    direction: Direction = "gradient"
    parts: int = 1

    def __post_init__(self) -> None:
        if self.members.ndim != 2 or self.members.dtype != torch.bool:
            raise ValueError(
                f"members must be a (groups, classes) bool tensor, not {tuple(self.members.shape)} {self.members.dtype}"
            )
        if not len(self.radii) == len(self.factors) == len(self.members):
            raise ValueError(
                f"{len(self.members)} groups need as many radii and factors, not {len(self.radii)} "
                f"and {len(self.factors)}"
            )
        if not all(math.isfinite(radius) and radius >= 0 for radius in self.radii):
            raise ValueError(f"radii must be finite and not below 0, not {self.radii}")
        if not all(math.isfinite(factor) and factor > 0 for factor in self.factors):
            raise ValueError(f"factors must be finite and above 0, not {self.factors}")
        for field, choices in (("reduction", get_args(Reduction)), ("direction", get_args(Direction))):
            if getattr(self, field) not in choices:
                raise ValueError(f"{field} must be one of {', '.join(choices)}, not {getattr(self, field)!r}")
        if self.parts < 1 or (self.parts > 1 and self.direction == "gradient"):
            raise ValueError(f"parts must be at least 1, and 1 where groups follow their gradient, not {self.parts}")
        owners = self.members.sum(dim=0)
        if bool((owners != 1).any()):
            wrong = torch.nonzero(owners != 1).flatten().tolist()
            raise ValueError(f"each class must belong to exactly one group; these do not: {wrong}")

    @classmethod
    def build(cls, groups: Sequence[Group], **options: Any) -> "GroupTable":
        """Build a table row by row, leaving out groups without a class.

        Args:
            groups: the rows.
            **options: `reduction`, `direction`, `parts`.
        """
        kept = [group for group in groups if bool(group.classes.any())]
        return cls(
            members=torch.stack([group.classes for group in kept]),
            radii=tuple(float(group.radius) for group in kept),
            factors=tuple(float(group.factor) for group in kept),
            **options,
        )
