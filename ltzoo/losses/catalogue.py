"""The losses by name: those of ltzoo, and those that users add."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

from torch import Tensor, nn

from ltzoo.losses.adjusted import Loss
from ltzoo.losses.cross_entropy import CE
from ltzoo.losses.focal import Focal
from ltzoo.losses.ldam import LDAM, LogitLDAM
from ltzoo.losses.logit_adjustment import LA, VS, BalancedSoftmax

LOSSES: dict[str, type[Loss]] = {kind.name: kind for kind in (CE, LDAM, LogitLDAM, LA, BalancedSoftmax, VS, Focal)}

_Kind = TypeVar("_Kind", bound=type[Loss])


def register_loss(kind: _Kind) -> _Kind:
    """Add a loss, so that recipes and `create_loss` can hold it; usable as a decorator.

    Args:
        kind: a frozen dataclass that extends `Loss`. Its `name` is lower-case words joined by underscores.

    Raises:
        ValueError: it is no such class, or its name is taken.
    """
    sound = isinstance(kind, type) and issubclass(kind, Loss) and "__dataclass_fields__" in vars(kind)
    if not sound or inspect.isabstract(kind):
        raise ValueError(f"{kind!r} is no loss: it must be a frozen dataclass that extends Loss and has bind")
    name = getattr(kind, "name", "")
    if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name):
        raise ValueError(f"{kind.__name__}.name must be lower-case words joined by underscores, not {name!r}")
    if name in LOSSES:
        raise ValueError(f"a loss called {name!r} exists already; choose another name")
    LOSSES[name] = kind
    return kind


def create_loss(name: str, class_counts: Tensor | Sequence[int], **settings: float | str) -> nn.Module:
    """Make a loss for anybody's training loop.

    Args:
        name: a key of `LOSSES`, `vs` for instance.
        class_counts: (C,) training images of each class, all at least 1.
        **settings: all its hyper-parameters, `gamma=0.05, tau=0.75` for instance.

    Returns:
        A module from logits (B, C) and targets (B,) to one loss an image, (B,): take its mean, or hand it to
        `ltzoo.sharpness.perturbed_backward`.

    Raises:
        ValueError: there is no such loss, or the settings are not its own.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss is called {name!r}; there are {', '.join(LOSSES)}")
    known = [field.name for field in fields(LOSSES[name])]
    if set(settings) != set(known):
        takes, given = (", ".join(names) or "no setting" for names in (known, settings))
        raise ValueError(f"the loss {name} takes {takes}; {given} given")
    return LOSSES[name](**settings).bind(class_counts)
