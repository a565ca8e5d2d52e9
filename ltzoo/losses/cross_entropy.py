"""Cross-entropy and its class-wise and focal variants: CE, LDAM, logit adjustment, vector scaling, focal loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses.loss import Loss, as_counts, log_prior
from ltzoo.losses.outputs import at_least_float32


def lower_target(logits: Tensor, targets: Tensor, margin: Tensor) -> Tensor:
    """Subtract a margin from the target's logit: d_j * [j = y], with the margins d.

    Args:
        logits: (B, C), or (B, E, C) with the logits of each expert.
        targets: (B,) int64.
        margin: (C,).
    """
    ones = (1,) * (logits.ndim - 1)
    shape = (*logits.shape[:-1], 1)
    lowered = margin.to(logits.dtype)[targets].view(-1, *ones).expand(shape)
    return logits.scatter_add(-1, targets.view(-1, *ones).expand(shape), -lowered)


def focal_factor(losses: Tensor, gamma: float) -> Tensor:
    """Compute (1 - exp(-loss))^gamma, which is (1 - p_y)^gamma where the loss is a cross-entropy: (B,)."""
    # Without cancellation; at 0 the power's derivative would be infinite for gamma < 1.
    return (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).tiny) ** gamma


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum the cross-entropies of an image's K logits, of experts or of views: (B, K, C) and (B,) to (B,)."""
    repeated_targets = targets.repeat_interleave(logits.shape[1])
    losses = F.cross_entropy(logits.flatten(0, 1), repeated_targets, reduction="none")
    return losses.view(len(targets), -1).sum(dim=1)


class AdjustedCrossEntropy(nn.Module):
    """Cross-entropy of the logits a_j * z_j + b_j - d_j * [j = y], one value per image.

    | loss | scale a_j | offset b_j | margin d_j |
    |---|---|---|---|
    | CE | 1 | 0 | 0 |
    | LDAM | s | 0 | s * m_j |
    | logit LDAM | 1 | 0 | s * m_j |
    | LA | 1 | tau * log pi_j | 0 |
    | VS | 1 / Delta_j | tau * log pi_j | 0 |

    Args:
        scale: (C,) factors a, or None for 1.
        offset: (C,) offsets b, or None for 0.
        margin: (C,) what is subtracted from the target's logit, d, or None for 0.
    """

    scale: Tensor | None
    offset: Tensor | None
    margin: Tensor | None

    def __init__(
        self, *, scale: Tensor | None = None, offset: Tensor | None = None, margin: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)
        self.register_buffer("margin", margin)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            logits: (B, C) floating point.
            targets: (B,) int64.

        Returns:
            (B,) losses, float32 for logits in half precision, otherwise in their dtype.
        """
        logits = at_least_float32(logits)
        if self.scale is not None:
            logits = logits * self.scale.to(logits.dtype)
        if self.offset is not None:
            logits = logits + self.offset.to(logits.dtype)
        if self.margin is not None:
            logits = lower_target(logits, targets, self.margin)
        return F.cross_entropy(logits, targets, reduction="none")


@dataclass(frozen=True)
class CE(Loss):
    """Plain softmax cross-entropy."""

    name: ClassVar[str] = "ce"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return AdjustedCrossEntropy()


@dataclass(frozen=True)
class LDAM(Loss):
    """LDAM (Cao 2019) in the form of Rangwani 2022: CE of s * (cos_j - m_j * [j = y]), m_j proportional to n_j^(-1/4).

    It expects cosine similarities as logits, as `ltzoo.models.CosineClassifier` gives them.

    Attributes:
        max_margin: the largest m_j, the margin of the rarest class.
        scale: s.
    """

    max_margin: float
    scale: float
    name: ClassVar[str] = "ldam"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        margins = ldam_margins(class_counts, self.max_margin)
        return AdjustedCrossEntropy(scale=torch.full_like(margins, self.scale), margin=self.scale * margins)

    @property
    def logit_scale(self) -> float:
        """See `Loss.logit_scale`."""
        return self.scale


@dataclass(frozen=True)
class LogitLDAM(Loss):
    """LDAM in the form of the code of Lyu 2025: CE of z_j - s * m_j * [j = y], on the logits of a linear classifier.

    Attributes:
        max_margin: the largest m_j, the margin of the rarest class.
        scale: s, which multiplies only the margins.
    """

    max_margin: float
    scale: float
    name: ClassVar[str] = "logit_ldam"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return AdjustedCrossEntropy(margin=self.scale * ldam_margins(class_counts, self.max_margin))


def ldam_margins(class_counts: Tensor | Sequence[int], largest: float) -> Tensor:
    """Compute LDAM's m_j, proportional to n_j^(-1/4), the largest being `largest`: (C,) float64."""
    margins = as_counts(class_counts) ** -0.25
    return margins * (largest / margins.max())


@dataclass(frozen=True)
class LA(Loss):
    """Logit-adjusted cross-entropy (Menon 2021): CE of z_j + tau * log pi_j.

    Attributes:
        tau: strength of the prior; 1 is `BalancedSoftmax`.
    """

    tau: float
    name: ClassVar[str] = "la"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return AdjustedCrossEntropy(offset=self.tau * log_prior(as_counts(class_counts)))


@dataclass(frozen=True)
class BalancedSoftmax(Loss):
    """Balanced softmax (Ren 2020): CE of z_j + log n_j, which is LA with tau = 1."""

    name: ClassVar[str] = "bs"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return LA(tau=1.0).bind(class_counts)


@dataclass(frozen=True)
class VS(Loss):
    """Vector-scaling loss (Kini 2021): CE of z_j / Delta_j + tau * log pi_j, Delta_j = (n_max / n_j)^gamma.

    Attributes:
        gamma: exponent of the multiplicative part; 0 leaves LA.
        tau: strength of the prior.
    """

    gamma: float
    tau: float
    name: ClassVar[str] = "vs"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        counts = as_counts(class_counts)
        return AdjustedCrossEntropy(scale=(counts / counts.max()) ** self.gamma, offset=self.tau * log_prior(counts))


class FocalCrossEntropy(nn.Module):
    """(1 - p_y)^gamma times the cross-entropy, one value per image.

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
            (B,) losses, float32 for logits in half precision, otherwise in their dtype.
        """
        losses = F.cross_entropy(at_least_float32(logits), targets, reduction="none")
        return focal_factor(losses, self.gamma) * losses


@dataclass(frozen=True)
class Focal(Loss):
    """Focal loss (Lin 2017), without class weights, which are part of the re-weighting.

    Attributes:
        gamma: exponent; 0 is CE.
    """

    gamma: float
    name: ClassVar[str] = "focal"

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> FocalCrossEntropy:
        """See `Loss.bind`."""
        return FocalCrossEntropy(self.gamma)
