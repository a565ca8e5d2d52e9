"""DRO-LT's loss: features near the prototype of their class, even if the prototype is off by a learned radius."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses.loss import Loss, LossModule, as_counts, check_num_features
from ltzoo.losses.outputs import Outputs, at_least_float32


class RobustLoss(LossModule):
    """DRO-LT's loss, see `DROLT`, with the radii and the prototypes.

    Args:
        loss: its record.
        counts: (C,) training images of each class.
        num_features: F, size of the features.

    Attributes:
        radius: (C,), a parameter.
        prototypes: (C, F), those of this epoch.
        known: (C,) bool, whether a class has a prototype already.
    """

    weight: Tensor
    prototypes: Tensor
    known: Tensor
    sums: Tensor
    images: Tensor
    epoch: Tensor

    unwritten: ClassVar[frozenset[str]] = frozenset({"weight", "prototypes", "known", "sums", "images", "epoch"})

    def __init__(self, loss: "DROLT", counts: Tensor, num_features: int) -> None:
        super().__init__(loss)
        self.temperature = loss.temperature
        self.radius = nn.Parameter(torch.full((len(counts),), float(loss.radius)))
        self.register_buffer("weight", counts / counts.max())
        self.register_buffer("prototypes", torch.zeros(len(counts), num_features))
        self.register_buffer("known", torch.zeros(len(counts), dtype=torch.bool))
        self.register_buffer("sums", torch.zeros(len(counts), num_features))
        self.register_buffer("images", torch.zeros(len(counts)))
        self.register_buffer("epoch", torch.full((), -1, dtype=torch.int64))

    @torch.no_grad()
    def begin(self, epoch: int) -> None:
        """Take the class means of the features that were committed in the last epoch as prototypes."""
        if epoch == int(self.epoch):  # resumed within the epoch
            return
        seen = self.images > 0
        means = self.sums / self.images.clamp_min(1)[:, None]
        self.prototypes.copy_(torch.where(seen[:, None], means, self.prototypes))
        self.known.logical_or_(seen)
        self.sums.zero_()
        self.images.zero_()
        self.epoch.fill_(epoch)

    @torch.no_grad()
    def set_prototypes(self, features: Tensor, labels: Tensor) -> None:
        """Take the class means of given features as prototypes, as DRO-LT's code does before each epoch.

        Args:
            features: (N, F) of training images, computed in evaluation mode.
            labels: (N,) int64; a class without an image keeps its prototype.
        """
        member = F.one_hot(labels, len(self.known)).to(self.sums.dtype)
        seen = member.sum(dim=0) > 0
        means = member.T @ features.to(self.sums.dtype) / member.sum(dim=0).clamp_min(1)[:, None]
        self.prototypes.copy_(torch.where(seen[:, None], means, self.prototypes))
        self.known.logical_or_(seen)

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            outputs: with features, (B, F).
            targets: (B,) int64.

        Returns:
            (B,) losses, whose mean is DRO-LT's loss of the batch.
        """
        if not isinstance(outputs, Outputs) or outputs.features is None:
            raise ValueError("the loss drolt needs features; pass ltzoo.losses.Outputs(logits, features=...)")
        logits, features = at_least_float32(outputs.logits), at_least_float32(outputs.features)
        weights = self.weight.to(features.dtype)[targets]
        losses = F.cross_entropy(logits, targets, reduction="none") * (weights / weights.mean())
        member = F.one_hot(targets, len(self.known)).to(features.dtype)
        distances = torch.cdist(
            features, self.prototypes.to(features.dtype), compute_mode="donot_use_mm_for_euclid_dist"
        )
        scores = -(distances + member * self.radius) / self.temperature
        own = (scores * member).sum(dim=1) - scores.logsumexp(dim=0)[targets]
        # The mean over each class's images, then over the classes of the batch that have a prototype.
        images = member.sum(dim=0)
        classes = (self.known & (images > 0)).sum().clamp_min(1)
        share = self.known[targets] * (len(targets) / (classes * images[targets]))
        return losses - share * own

    @torch.no_grad()
    def commit(self, outputs: Outputs | Tensor, targets: Tensor) -> None:
        """Add a batch's features to the means that will be the next epoch's prototypes."""
        assert isinstance(outputs, Outputs)
        assert outputs.features is not None  # as `forward` has checked
        member = F.one_hot(targets, len(self.known)).to(self.sums.dtype)
        self.sums.add_(member.T @ outputs.features.to(self.sums.dtype))
        self.images.add_(member.sum(dim=0))


@dataclass(frozen=True)
class DROLT(Loss):
    """DRO-LT (Samuel 2021): cross-entropy plus a robust loss of features and class prototypes.

    With prototypes m_c and the learned radii eps_c, let s_ck = -(|m_c - z_k| + eps_c * [y_k = c]) / temperature for
    all images k of the batch. The robust loss is the mean over the classes c of the batch of the mean over the
    images i of c of log(sum over k of exp s_ck) - s_ci. The cross-entropy is a mean weighted by n_j / n_max, as in
    its code, whose radii are mixed up between classes; here each class has its own. Prototypes are class means of
    features, replaced once an epoch: by those of the last epoch's batches, or by what `RobustLoss.set_prototypes`
    is given. A class without a prototype, which is every one in the first epoch without that call, has no robust
    loss.

    Attributes:
        radius: the first value of eps_c.
        temperature: above 0.
    """

    radius: float
    temperature: float
    name: ClassVar[str] = "drolt"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})
    ties_images: ClassVar[bool] = True
    single_process: ClassVar[bool] = True
    weighs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature == 0:
            raise ValueError("temperature must be above 0, not 0")

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> RobustLoss:
        """See `Loss.bind`."""
        return RobustLoss(self, as_counts(class_counts), check_num_features(self.name, num_features))
