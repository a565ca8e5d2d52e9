"""Perturbations by name."""

import inspect
import re
from typing import TypeVar

from ltzoo.sharpness.methods import SAM, SSESAM, FocalSAM, ImbSAM, NoPerturbation, SAMExt
from ltzoo.sharpness.noise import GNM, LPFSGD, PGD
from ltzoo.sharpness.perturbation import Perturbation
from ltzoo.sharpness.variants import ASAM, CCSAM, GSAM, GroupSAM

PERTURBATIONS: dict[str, type[Perturbation]] = {
    kind.name: kind
    for kind in (NoPerturbation, SAM, ImbSAM, SAMExt, SSESAM, FocalSAM, CCSAM, GroupSAM, ASAM, GSAM, PGD, LPFSGD, GNM)
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
