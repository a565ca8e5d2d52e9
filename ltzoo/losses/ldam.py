"""Label-distribution-aware margins, m_j proportional to n_j^(-1/4), in the forms of both papers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ltzoo.losses.adjusted import AdjustedCrossEntropy, Loss
from ltzoo.losses.counts import as_counts


@dataclass(frozen=True)
class LDAM(Loss):
    """LDAM (Cao 2019) as paper A runs it: CE of s * (cos_j - m_j * [j = y]).

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
        margins = _margins(class_counts, self.max_margin)
        return AdjustedCrossEntropy(scale=torch.full_like(margins, self.scale), margin=self.scale * margins)

    @property
    def logit_scale(self) -> float:
        """See `Loss.logit_scale`."""
        return self.scale


@dataclass(frozen=True)
class LogitLDAM(Loss):
    """LDAM as paper B's code runs it: CE of z_j - s * m_j * [j = y], on the plain logits of a linear classifier.

    Attributes:
        max_margin: the largest m_j, that of the rarest class.
        scale: s; it stretches the margins alone.
    """

    max_margin: float
    scale: float
    name: ClassVar[str] = "logit_ldam"

    def bind(self, class_counts: Tensor | Sequence[int]) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return AdjustedCrossEntropy(margin=self.scale * _margins(class_counts, self.max_margin))


def _margins(class_counts: Tensor | Sequence[int], largest: float) -> Tensor:
    """Compute m_j, (C,) float64."""
    margins = as_counts(class_counts) ** -0.25
    return margins * (largest / margins.max())
