"""Class weights for any training loop, by the name of a rule."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ltzoo.losses.reweighting import ClassBalanced, InversePower, Reweighting

WeightRule = Literal["drw", "cb", "inverse", "sqrt"]

_BETA = 0.9999
"""That of the code of Cao 2019 and of the papers' recipes."""


def class_weights(
    class_counts: Tensor | Sequence[int],
    rule: WeightRule = "cb",
    *,
    beta: float | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Compute class weights, for example for `torch.nn.CrossEntropyLoss(weight=...)`.

    | rule | w_j is proportional to |
    |---|---|
    | cb | (1 - beta) / (1 - beta^n_j), the inverse of the effective number of images (Cui 2019, equation 2) |
    | drw | the same: deferred re-weighting (Cao 2019) has these weights in its last epochs, and weights of 1 before |
    | inverse | 1 / n_j |
    | sqrt | 1 / sqrt(n_j) |

    Args:
        class_counts: (C,) training images of each class, whole numbers from 0 on.
        rule: `drw`, `cb`, `inverse` or `sqrt`.
        beta: for `drw` and `cb`, in [0, 1]: 0 gives equal weights, 1 is the limit 1 / n_j; 0.9999 if None.
        dtype: of the weights, that of the logits; torch's default if None.

    Returns:
        (C,) weights on the CPU, whose mean over the classes with images is 1. A class without images has weight 0: its
        weight would be infinite, and no image of the training set has it.

    Raises:
        ValueError: there is no such rule, beta is out of range or does not belong to the rule, or the class counts are
            not a vector of whole numbers from 0 on, at least one of them above 0.
    """
    reweighting = _reweighting(rule, beta)
    counts = torch.as_tensor(class_counts, dtype=torch.float64).cpu()
    valid = counts.ndim == 1 and bool(((counts >= 0) & (counts == counts.floor()) & counts.isfinite()).all())
    if not valid or not bool(counts.any()):
        found = str(counts.tolist())[:80]  # there can be thousands
        raise ValueError(f"class counts must be a vector of whole numbers from 0 on, not all 0; they are {found}")
    present = counts > 0
    weights = torch.zeros_like(counts)
    weights[present] = reweighting.weights(counts[present], epoch=0)
    return weights.to(dtype or torch.get_default_dtype())


def _reweighting(rule: str, beta: float | None) -> Reweighting:
    if rule in ("drw", "cb"):
        return ClassBalanced(_BETA if beta is None else beta)
    powers = {"inverse": 1.0, "sqrt": 0.5}
    if rule not in powers:
        raise ValueError(f"no rule of class weights is called {rule!r}; there are drw, cb, inverse and sqrt")
    if beta is not None:
        raise ValueError(f"beta belongs to the rules drw and cb, not to {rule}; leave it out")
    return InversePower(powers[rule])
