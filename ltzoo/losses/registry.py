"""Losses by name: those of ltzoo, and those that users register."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

from torch import Tensor, nn

from ltzoo.losses.bcl import BCL
from ltzoo.losses.cross_entropy import CE, LA, LDAM, VS, BalancedSoftmax, Focal, LogitLDAM
from ltzoo.losses.influence import InfluenceBalanced
from ltzoo.losses.label_smoothing import LabelAwareSmoothing
from ltzoo.losses.loss import Loss
from ltzoo.losses.mixed_views import GLMC
from ltzoo.losses.multi_expert import RIDE, SADE
from ltzoo.losses.paco import PaCo
from ltzoo.losses.proco import ProCo
from ltzoo.losses.robust import DROLT

_FROM_LOGITS: tuple[type[Loss], ...] = (CE, LDAM, LogitLDAM, LA, BalancedSoftmax, VS, Focal, LabelAwareSmoothing)
_FROM_MORE: tuple[type[Loss], ...] = (RIDE, SADE, InfluenceBalanced, GLMC, DROLT, BCL, ProCo, PaCo)

LOSSES: dict[str, type[Loss]] = {kind.name: kind for kind in (*_FROM_LOGITS, *_FROM_MORE)}

_Kind = TypeVar("_Kind", bound=type[Loss])


def register_loss(kind: _Kind) -> _Kind:
    """Add a loss, so that recipes and `create_loss` can use it; usable as a decorator.

    Args:
        kind: a frozen dataclass that extends `Loss`. Its `name` is lower-case words joined by underscores.

    Raises:
        ValueError: it is not such a class, or its name is taken.
    """
    is_record = isinstance(kind, type) and issubclass(kind, Loss) and "__dataclass_fields__" in vars(kind)
    if not is_record or inspect.isabstract(kind):
        raise ValueError(f"{kind!r} must be a frozen dataclass that extends Loss, with bind")
    name = getattr(kind, "name", "")
    if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name):
        raise ValueError(f"{kind.__name__}.name must be lower-case words joined by underscores, not {name!r}")
    if name in LOSSES:
        raise ValueError(f"a loss called {name!r} exists already; choose another name")
    LOSSES[name] = kind
    return kind


def create_loss(
    name: str,
    class_counts: Tensor | Sequence[int],
    *,
    num_features: int | None = None,
    **settings: float | str,
) -> nn.Module:
    """Make a loss for any training loop.

    Args:
        name: a key of `LOSSES`, for example `vs`.
        class_counts: (C,) training images of each class, all at least 1.
        num_features: the size of the model's features; needed only by losses that ask for features.
        **settings: all its hyper-parameters, for example `gamma=0.05, tau=0.75`.

    Returns:
        A module from outputs and targets (B,) to one loss per image, (B,): take its mean, or pass it to
        `ltzoo.sharpness.perturbed_backward`. The outputs are the logits (B, C), or `ltzoo.losses.Outputs` for a loss
        that asks for more (`Loss.asks`).

    Raises:
        ValueError: there is no such loss; the settings are not its hyper-parameters, or have a wrong type or value; the
            class counts are not a vector of finite numbers from 1 on; or `num_features` is needed and missing.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss is called {name!r}; there are {', '.join(LOSSES)}")
    known = [field.name for field in fields(LOSSES[name])]
    if set(settings) != set(known):
        takes, given = (", ".join(names) or "no setting" for names in (known, settings))
        raise ValueError(f"the loss {name} takes {takes}; {given} given")
    return LOSSES[name](**settings).bind(class_counts, num_features)
