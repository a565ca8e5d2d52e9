"""Cross-entropy with smoothed labels: MiSLAS's label-aware smoothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses.loss import Loss, as_counts
from ltzoo.losses.outputs import at_least_float32


class SmoothedCrossEntropy(nn.Module):
    """(1 - e_y) * (-log p_y) + e_y * mean over all classes k of (-log p_k), one value per image.

    Args:
        smoothing: (C,) e_j of each class.
    """

    smoothing: Tensor

    def __init__(self, smoothing: Tensor) -> None:
        super().__init__()
        self.register_buffer("smoothing", smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            logits: (B, C) floating point.
            targets: (B,) int64.

        Returns:
            (B,) losses, float32 for logits in half precision, otherwise in their dtype.
        """
        logits = at_least_float32(logits)
        costs = -F.log_softmax(logits, dim=1)
        own = costs.gather(1, targets.unsqueeze(1)).squeeze(1)
        smoothing = self.smoothing.to(logits.dtype)[targets]
        return (1 - smoothing) * own + smoothing * costs.mean(dim=1)


@dataclass(frozen=True)
class LabelAwareSmoothing(Loss):
    """Label-aware smoothing (Zhong 2021, section 3.2, concave form): labels of larger classes are smoothed more.

    e_j = least + (most - least) * sin(pi * (n_j - n_min) / (2 * (n_max - n_min))). The smoothed part is spread over all
    classes, as in its code.

    Attributes:
        most: e of the largest class, e_1.
        least: e of the smallest class, e_K; at most `most`.
    """

    most: float
    least: float
    name: ClassVar[str] = "las"

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.most, self.least) > 1:
            raise ValueError(f"most and least must be at most 1, not {self.most} and {self.least}")
        if self.least > self.most:
            raise ValueError(f"least must be at most most, not {self.least} and {self.most}")

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> SmoothedCrossEntropy:
        """See `Loss.bind`. Classes of equal size are all the largest."""
        counts = as_counts(class_counts)
        span = counts.max() - counts.min()
        share = (counts - counts.min()) / span if span > 0 else torch.ones_like(counts)
        return SmoothedCrossEntropy(self.least + (self.most - self.least) * (share * math.pi / 2).sin())
