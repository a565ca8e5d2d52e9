"""Losses of networks with several experts, from the logits of each: RIDE's and SADE's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltzoo.losses.cross_entropy import ldam_margins, lower_target, summed_cross_entropy
from ltzoo.losses.loss import Loss, LossModule, as_counts, log_prior
from ltzoo.losses.outputs import Outputs, at_least_float32
from ltzoo.losses.reweighting import ClassBalanced

_SADE_EXPERTS = 3


class DiverseMarginLoss(LossModule):
    """RIDE's loss, see `RIDE`.

    Args:
        loss: its record.
        counts: (C,) training images of each class.
    """

    margin: Tensor
    weight: Tensor
    temperature: Tensor

    def __init__(self, loss: "RIDE", counts: Tensor) -> None:
        super().__init__(loss)
        self.start, self.diversity = loss.start, loss.diversity
        self.register_buffer("margin", loss.scale * ldam_margins(counts, loss.max_margin))
        self.register_buffer("weight", ClassBalanced(loss.beta).weights(counts, 0))
        temperature = 1 + loss.spread * (len(counts) * counts / counts.sum() - 1)
        self.register_buffer("temperature", temperature / temperature.max())
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Choose the stage of an epoch, from 0."""
        self.second_stage = epoch >= self.start

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            outputs: with the logits of each expert, (B, E, C).
            targets: (B,) int64.

        Returns:
            (B,) losses, whose mean is RIDE's loss of the batch.
        """
        experts = experts_of(outputs, RIDE.name)
        costs = summed_cross_entropy(lower_target(experts, targets, self.margin), targets)
        temperature = self.temperature.to(experts.dtype) if self.second_stage else torch.ones_like(experts[0, 0])
        mean = (experts.mean(dim=1, keepdim=True).detach() / temperature).log_softmax(dim=2)
        kl = (mean.exp() * (mean - (experts / temperature).log_softmax(dim=2))).sum(dim=(1, 2))
        if self.second_stage:
            weights = self.weight.to(experts.dtype)[targets]
            costs = costs * (weights / weights.mean())
        return costs - self.diversity * temperature.mean() ** 2 * kl


@dataclass(frozen=True)
class RIDE(Loss):
    """RIDE's loss (Wang 2021): LDAM for each expert, minus how far the experts are apart.

    The sum over experts e of CE(f_e - s * m_y * [j = y]) - diversity * T^2 * KL(softmax(g / T_j) || softmax(f_e /
    T_j)) with the detached mean g of the experts' logits. First T_j = 1. From `start` on, the cross-entropy is a
    mean weighted by the effective number of images, and T_j = t_j / max t with t_j = 1 + spread * (C * pi_j - 1); T
    is their mean. The weights are part of the loss, since they do not apply to the second term: the recipe's
    re-weighting is `none`.

    It expects logits that are scaled cosines, as `ltzoo.models.CosineExpertsClassifier` gives them. The routing of the
    paper's second stage, which saves computation, is left out.

    Attributes:
        max_margin: the largest m_j, the margin of the rarest class.
        scale: s, the scale of the logits.
        diversity: how much it counts that experts differ.
        spread: how far the temperatures of classes lie apart, in [0, 1].
        start: the first epoch with weights and temperatures, from 0.
        beta: of the effective numbers, see `ClassBalanced`.
    """

    max_margin: float
    scale: float
    diversity: float
    spread: float
    start: int
    beta: float
    name: ClassVar[str] = "ride"
    asks: ClassVar[frozenset[str]] = frozenset({"experts"})
    # The weighted mean divides by the weights of the whole batch.
    ties_images: ClassVar[bool] = True
    single_process: ClassVar[bool] = True
    weighs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spread > 1:
            raise ValueError(f"spread must be at most 1, not {self.spread}")
        if self.start < 0:
            raise ValueError(f"start must be an epoch from 0 on, not {self.start}")
        ClassBalanced(self.beta)

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> DiverseMarginLoss:
        """See `Loss.bind`."""
        return DiverseMarginLoss(self, as_counts(class_counts))

    def scaled(self, epochs: int, of: int) -> "RIDE":
        """See `Loss.scaled`."""
        return replace(self, start=self.start * epochs // of)


class OffsetExpertsLoss(nn.Module):
    """The sum over three experts e of the cross-entropy of f_e + offset_e, one value per image; see `SADE`.

    Args:
        offset: (3, C).
    """

    offset: Tensor

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.asks = SADE.asks
        self.register_buffer("offset", offset)

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            outputs: with the logits of each expert, (B, 3, C).
            targets: (B,) int64.

        Returns:
            (B,) losses.
        """
        experts = experts_of(outputs, SADE.name)
        if experts.shape[1] != _SADE_EXPERTS:
            raise ValueError(
                f"the loss {SADE.name} has one term for each of {_SADE_EXPERTS} experts, but the model has "
                f"{experts.shape[1]}; use a model with {_SADE_EXPERTS}"
            )
        return summed_cross_entropy(experts + self.offset.to(experts.dtype), targets)


@dataclass(frozen=True)
class SADE(Loss):
    """SADE's loss (Zhang 2022): three experts for three distributions of the classes.

    CE(f_1) + CE(f_2 + log pi) + CE(f_3 + log pi - tau * log pi'), where pi' are the frequencies of the classes in
    reverse: the rarest class has that of the largest. Classes of one size are ranked by their number. The aggregation
    on test images is left out: the prediction is the mean of the experts' logits.

    Attributes:
        tau: how strongly the third expert prefers rare classes.
    """

    tau: float
    name: ClassVar[str] = "sade"
    asks: ClassVar[frozenset[str]] = frozenset({"experts"})

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> OffsetExpertsLoss:
        """See `Loss.bind`."""
        prior = log_prior(as_counts(class_counts))
        order = prior.argsort(stable=True)
        reverse = torch.empty_like(prior)
        reverse[order] = prior[order.flip(0)]
        return OffsetExpertsLoss(torch.stack([torch.zeros_like(prior), prior, prior - self.tau * reverse]))


def experts_of(outputs: Any, name: str) -> Tensor:
    """Return the logits of each expert, (B, E, C); float32 if they are in half precision.

    Args:
        outputs: what a loss was given.
        name: the loss's name, for the message.

    Raises:
        ValueError: they are missing, or have another shape.
    """
    experts = getattr(outputs, "experts", None)
    if experts is None or experts.ndim != 3:
        found = "none" if experts is None else f"the shape {tuple(experts.shape)}"
        raise ValueError(
            f"the loss {name} needs the logits of each expert, (B, E, C), but found {found}; "
            "pass ltzoo.losses.Outputs(logits, experts=...)"
        )
    return at_least_float32(experts)
