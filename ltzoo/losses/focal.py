"""Focal loss: less of it for what the model knows already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses.adjusted import Loss


class FocalCrossEntropy(nn.Module):
    """(1 - p_y)^gamma times the cross-entropy, one value an image.

    Args:
        gamma: exponent.
    """

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            logits: (B, C) floating point.
            targets: (B,) int64.

        Returns:
            (B,) losses, in the dtype of `logits`.
        """
        losses = F.cross_entropy(logits, targets, reduction="none")
        # 1 - p without cancellation; at 0 the power's derivative would be infinite for gamma < 1.
        doubt = (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).tiny)
        return doubt**self.gamma * losses


@dataclass(frozen=True)
class Focal(Loss):
    """Focal loss (Lin 2017), without its class weights: those are the re-weighting's.

    Attributes:
        gamma: exponent; 0 is CE.
    """

    gamma: float
    name: ClassVar[str] = "focal"

    def bind(self, class_counts: Tensor | Sequence[int]) -> FocalCrossEntropy:
        """See `Loss.bind`."""
        return FocalCrossEntropy(self.gamma)
