"""The influence-balanced loss: images that shape the decision boundary too strongly count less."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from ltzoo.losses.cross_entropy import focal_factor
from ltzoo.losses.loss import Loss, LossModule, as_counts
from ltzoo.losses.outputs import Outputs, at_least_float32
from ltzoo.losses.reweighting import ClassBalanced


class InfluenceBalancedLoss(LossModule):
    """Cross-entropy, and from an epoch on the influence-balanced loss, see `InfluenceBalanced`.

    Args:
        loss: its record.
        weight: (C,) w.
    """

    weight: Tensor

    def __init__(self, loss: "InfluenceBalanced", weight: Tensor) -> None:
        super().__init__(loss)
        self.start, self.factor, self.epsilon, self.gamma = loss.start, loss.factor, loss.epsilon, loss.gamma
        self.register_buffer("weight", weight)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Choose the stage of an epoch, from 0."""
        self.balances = epoch >= self.start

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            outputs: with features, (B, F).
            targets: (B,) int64.

        Returns:
            (B,) losses.
        """
        if not isinstance(outputs, Outputs) or outputs.features is None:
            raise ValueError("the loss ib needs features; pass ltzoo.losses.Outputs(logits, features=...)")
        logits, features = at_least_float32(outputs.logits), at_least_float32(outputs.features)
        losses = F.cross_entropy(logits, targets, reduction="none")
        if not self.balances:
            return losses
        losses = losses * self.weight.to(losses.dtype)[targets]
        l1_error = (logits.softmax(dim=1) - F.one_hot(targets, logits.shape[1])).abs().sum(dim=1)
        factor = self.factor / (l1_error * features.abs().sum(dim=1) + self.epsilon)
        if self.gamma:
            factor = factor * focal_factor(losses, self.gamma)
        return losses * factor


@dataclass(frozen=True)
class InfluenceBalanced(Loss):
    """Influence-balanced loss (Park 2021): w_y * CE * factor / (|p - e_y|_1 * |z|_1 + epsilon), z features.

    The divisor is the size of the gradient in the classifier's weights: how much the image influences them. The
    gradient flows through the divisor too, as in its code. Before `start` the loss is plain cross-entropy. IB has
    the class weights 1 / n_j (`beta` 1), IB + CB those of the effective number (`beta` 0.9999), IB + Focal the
    further factor (1 - exp(-w_y * CE))^gamma. The weights are part of the loss, since its mean divides by the
    number of images, and not by their weights: the recipe's re-weighting is `none`.

    Attributes:
        start: the first epoch of the influence-balanced loss, from 0.
        factor: 1000 in its code.
        epsilon: keeps the divisor above 0; 0.001 in its code.
        beta: of the class weights, which add up to C, see `ClassBalanced`.
        gamma: exponent of the focal factor; 0 for none.
    """

    start: int
    factor: float
    epsilon: float
    beta: float
    gamma: float
    name: ClassVar[str] = "ib"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})
    weighs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start < 0:
            raise ValueError(f"start must be an epoch from 0 on, not {self.start}")
        if self.epsilon == 0:
            raise ValueError("epsilon must be above 0, since the divisor of an image that the model is sure of is 0")
        ClassBalanced(self.beta)

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> InfluenceBalancedLoss:
        """See `Loss.bind`."""
        return InfluenceBalancedLoss(self, ClassBalanced(self.beta).weights(as_counts(class_counts), 0))

    def scaled(self, epochs: int, of: int) -> "InfluenceBalanced":
        """See `Loss.scaled`."""
        return replace(self, start=self.start * epochs // of)
