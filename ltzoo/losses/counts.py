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
    if counts.ndim != 1 or not bool((counts >= 1).all()):
        # Not all of them: there can be thousands.
        wrong = counts[~(counts >= 1)][:10].tolist() or f"of the shape {tuple(counts.shape)}"
        raise ValueError(f"class counts must be a vector of numbers from 1 on, not {wrong}")
    return counts


def log_prior(counts: Tensor) -> Tensor:
    """Return log pi with pi_j = n_j / sum n, (C,)."""
    return (counts / counts.sum()).log()
