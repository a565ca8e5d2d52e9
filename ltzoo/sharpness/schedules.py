"""Radii over the epochs: a constant, or a schedule."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Real
from typing import ClassVar


def check_radius(name: str, radius: float) -> None:
    """Check that a radius makes sense.

    Raises:
        ValueError: it is no number, negative or not finite.
    """
    if not (isinstance(radius, Real) and 0 <= radius < math.inf):
        raise ValueError(f"{name} must be finite and not below 0, not {radius!r}")


def check_epoch(epoch: int | None, epochs: int | None) -> tuple[int, int]:
    """Return an epoch, from 0, and the number of epochs.

    Raises:
        ValueError: one of them is missing, or the epoch is not one of the training's.
    """
    if epoch is None or epochs is None or not 0 <= epoch < epochs:
        raise ValueError(
            "SSE-SAM and schedules of radii need epoch and epochs, with 0 <= epoch < epochs, "
            f"not epoch {epoch} of {epochs}"
        )
    return epoch, epochs


def in_first_stage(gamma: float, epoch: int | None, epochs: int | None) -> bool:
    """Return whether an epoch, from 0, belongs to stage 1, the epochs 0 .. gamma*T - 1 (Lyu 2025).

    Raises:
        ValueError: gamma lies between 0 and 1, and the epoch is missing or not one of the training's.
    """
    if gamma in (0, 1):
        return gamma == 1
    epoch, epochs = check_epoch(epoch, epochs)
    # Rounded first: 0.29 * 100 is 28.999999999999996 in binary, and stage 1 is 29 epochs long.
    return epoch < math.floor(round(gamma * epochs, 6))


def check_gamma(gamma: float) -> None:
    """Check that gamma is a fraction of the epochs.

    Raises:
        ValueError: it is outside [0, 1].
    """
    if not (isinstance(gamma, Real) and 0 <= gamma <= 1):
        raise ValueError(f"gamma must lie in [0, 1], not {gamma!r}")


@dataclass(frozen=True)
class RadiusSchedule(ABC):
    """A radius that changes from epoch to epoch.

    Attributes:
        name: its name in a recipe.
    """

    name: ClassVar[str]

    @abstractmethod
    def at(self, epoch: int, epochs: int) -> float:
        """Compute the radius of an epoch.

        Args:
            epoch: from 0.
            epochs: the length T of the whole training.
        """

    def scaled(self, epochs: int, of: int) -> "RadiusSchedule":
        """Scale its milestones to a training of `epochs` instead of `of` epochs, rounding down."""
        return self


@dataclass(frozen=True)
class Steps(RadiusSchedule):
    """Constant radii between milestones (Rangwani 2022 on ImageNet-LT: 0.05, from epoch 5 on 0.1, from 60 on 0.5).

    Attributes:
        radii: one more than there are milestones.
        milestones: the epochs, from 0, at which the next radius begins.
    """

    radii: tuple[float, ...]
    milestones: tuple[int, ...]
    name: ClassVar[str] = "steps"

    def __post_init__(self) -> None:
        for radius in self.radii:
            check_radius("radii", radius)
        rising = all(0 <= a <= b for a, b in pairwise((0, *self.milestones)))
        if len(self.radii) != len(self.milestones) + 1 or not rising:
            raise ValueError(
                "radii must be one more than milestones, which must not fall, "
                f"not {list(self.radii)} and {list(self.milestones)}"
            )

    def at(self, epoch: int, epochs: int) -> float:
        """See `RadiusSchedule.at`."""
        return self.radii[sum(epoch >= milestone for milestone in self.milestones)]

    def scaled(self, epochs: int, of: int) -> "Steps":
        """See `RadiusSchedule.scaled`."""
        return replace(self, milestones=tuple(milestone * epochs // of for milestone in self.milestones))


@dataclass(frozen=True)
class Linear(RadiusSchedule):
    """A radius that changes linearly from the first epoch to the last.

    Attributes:
        start: the radius in epoch 0.
        end: the radius in epoch T - 1.
    """

    start: float
    end: float
    name: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        check_radius("start", self.start)
        check_radius("end", self.end)

    def at(self, epoch: int, epochs: int) -> float:
        """See `RadiusSchedule.at`."""
        return self.start + (self.end - self.start) * _elapsed(epoch, epochs)


@dataclass(frozen=True)
class Cosine(Linear):
    """Like `Linear`, along half a period of the cosine, slow at both ends (Bisla 2022 raises LPF-SGD's noise so)."""

    name: ClassVar[str] = "cosine"

    def at(self, epoch: int, epochs: int) -> float:
        """See `RadiusSchedule.at`."""
        return self.start + (self.end - self.start) * (1 - math.cos(math.pi * _elapsed(epoch, epochs))) / 2


@dataclass(frozen=True)
class Stages(RadiusSchedule):
    """Two radii, as SSE-SAM's head has them (Lyu 2025).

    Attributes:
        first: the radius in the epochs 0 .. gamma*T - 1.
        second: the radius in the later epochs.
        gamma: the fraction of the epochs that have the first radius, in [0, 1].
    """

    first: float
    second: float
    gamma: float
    name: ClassVar[str] = "stages"

    def __post_init__(self) -> None:
        check_radius("first", self.first)
        check_radius("second", self.second)
        check_gamma(self.gamma)

    def at(self, epoch: int, epochs: int) -> float:
        """See `RadiusSchedule.at`."""
        return self.first if in_first_stage(self.gamma, epoch, epochs) else self.second


Radius = float | RadiusSchedule
"""A constant radius, or a schedule over the epochs."""

RADIUS_SCHEDULES: dict[str, type[RadiusSchedule]] = {kind.name: kind for kind in (Steps, Linear, Cosine, Stages)}


def radius_at(radius: Radius, epoch: int | None = None, epochs: int | None = None) -> float:
    """Compute the radius of an epoch, see `RadiusSchedule.at`; a constant needs none.

    Raises:
        ValueError: the radius follows a schedule, and the epoch is missing or not one of the training's.
    """
    return radius.at(*check_epoch(epoch, epochs)) if isinstance(radius, RadiusSchedule) else radius


def _elapsed(epoch: int, epochs: int) -> float:
    """Return the fraction of the training that is over: 0 in the first epoch, 1 in the last."""
    return epoch / (epochs - 1) if epochs > 1 else 0.0
