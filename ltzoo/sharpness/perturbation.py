"""What every perturbation is: a frozen record that makes the step's table for each epoch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from numbers import Integral, Real
from types import UnionType
from typing import ClassVar, Self, get_args, get_type_hints

import torch
from torch import Tensor

from ltzoo.sharpness.schedules import RadiusSchedule, check_radius
from ltzoo.sharpness.table import Table


@dataclass(frozen=True)
class Perturbation(ABC):
    """How the weights at which the gradient is taken differ from w.

    Every field that is a number must be finite and not below 0; a radius can be a schedule instead of a number.

    Attributes:
        name: its name in a recipe.

    Raises:
        ValueError: a field has another type than its annotation, or makes no sense.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            _check_type(field.name, value, hints[field.name])
            if isinstance(value, Real):
                check_radius(field.name, float(value))

    @abstractmethod
    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """Make the table of one epoch.

        Args:
            class_counts: (C,) training images of each class; the table is on the same device.
            epoch: the epoch, from 0; needed by SSE-SAM and by radii that follow a schedule.
            epochs: the length T of the whole training; needed as `epoch` is.

        Raises:
            ValueError: the epoch is needed and missing, or not one of the training's.
        """

    @abstractmethod
    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
        """Return the radii of one epoch for a log: `rho`, or `rho_head` and `rho_tail`; none for SGD.

        Args:
            epoch: see `table`.
            epochs: see `table`.

        Raises:
            ValueError: as `table` does.
        """

    def scaled(self, epochs: int, of: int) -> Self:
        """Scale its schedules' milestones to a training of `epochs` instead of `of` epochs, rounding down."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {key: value.scaled(epochs, of) for key, value in values.items() if isinstance(value, RadiusSchedule)}
        return replace(self, **moved)


_hints = cache(get_type_hints)


def _check_type(name: str, value: object, hint: object) -> None:
    """Check a field against its annotation, if this is a type or a union of types.

    Raises:
        ValueError: it does not fit.
    """
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    allowed = [Real if kind is float else Integral if kind is int else kind for kind in kinds]
    types = tuple(kind for kind in allowed if isinstance(kind, type))
    fits = isinstance(value, types) and (not isinstance(value, bool) or bool in types)
    if len(types) == len(allowed) and not fits:
        words: dict[type, str] = {Real: "a number", Integral: "a whole number"}
        shown = " or ".join(words.get(kind, f"a {kind.__name__}") for kind in types)
        raise ValueError(f"{name} must be {shown}, not {value!r}")


def class_weights_dtype(device: torch.device) -> torch.dtype:
    """Return the type of class weights that are neither 0 nor 1: float64, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def all_classes(class_counts: Tensor | Sequence[int]) -> Tensor:
    """Weigh all classes 1, (C,)."""
    return torch.ones_like(torch.as_tensor(class_counts), dtype=torch.float32)
