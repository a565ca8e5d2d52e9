"""Label-distribution-aware margins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltzoo.losses.adjusted import AdjustedCrossEntropy, Loss
from ltzoo.losses.counts import as_counts


@dataclass(frozen=True)
class LDAM(Loss):
    """LDAM (Cao 2019) as paper A runs it: CE of s * (cos_j - m_j * [j = y]) with m_j ~ n_j^(-1/4).

    It expects cosine logits, those of `ltzoo.models.CosineClassifier`.

    Attributes:
        max_margin: the largest m_j, that of the rarest class.
        scale: s.
    """

    max_margin: float
    scale: float
    name: ClassVar[str] = "ldam"

    def bind(self, class_counts: Tensor | Sequence[int]) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        margins = as_counts(class_counts) ** -0.25
        margins = margins * (self.max_margin / margins.max())
        return AdjustedCrossEntropy(scale=torch.full_like(margins, self.scale), margin=self.scale * margins)
