"""Class counts, checked, and the prior that they give."""

from collections.abc import Sequence

import torch
from torch import Tensor


def as_counts(class_counts: Tensor | Sequence[int]) -> Tensor:
    """Check class counts and return them as float64, (C,).

    Raises:
        ValueError: a class has no image.
    """
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    if counts.ndim != 1 or bool((counts < 1).any()):
        raise ValueError(f"class counts must be a vector of numbers from 1 on, not {counts.tolist()}")
    return counts


def log_prior(counts: Tensor) -> Tensor:
    """Return log pi with pi_j = n_j / sum n, (C,)."""
    return (counts / counts.sum()).log()
