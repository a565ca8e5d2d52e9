"""BCL: supervised contrast in which every class weighs the same, and is present by a prototype."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltzoo.losses.attached import Attached
from ltzoo.losses.cross_entropy import LA
from ltzoo.losses.gathering import gather
from ltzoo.losses.loss import LossModule, check_num_features
from ltzoo.losses.outputs import Outputs
from ltzoo.losses.projection import ProjectionHead, ProjectionLoss
from ltzoo.losses.views import take_views


@dataclass(frozen=True)
class BCL(ProjectionLoss):
    """Balanced contrastive learning (Zhu 2022): LA on view 0, plus a contrastive loss on views 1 and 2.

    The 2 * B projections of views 1 and 2 and a prototype of each class, a projection of the classifier's weights,
    form class sets S_j. For a projection u_i of class y, without itself in S_y and in its size,

        L_i = mean over p in S_y of  log(sum over j of (1 / |S_j|) * sum over k in S_j of exp(<u_i, u_k> / T))
                                     - <u_i, u_p> / T

    and the loss of an image is ce_weight * LA(s * f, tau = 1) + contrast_weight * (the mean L_i of its two views).

    With several processes, the batch is all of theirs together, with gradients to all; its code compares the images of
    each process alone.

    Attributes:
        temperature: T, above 0.
        scale: s, by which the model's logits are multiplied: 1 for a linear classifier; cosine similarities need more,
            30 in its code.
        ce_weight: of the classifier's loss.
        contrast_weight: of the contrastive loss.
        hidden_size: hidden units of each of the two projection heads, of features and of the classifier's weights.
        projection_size: the size of a projection.
    """

    temperature: float
    scale: float
    ce_weight: float
    contrast_weight: float
    hidden_size: int
    projection_size: int
    name: ClassVar[str] = "bcl"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})
    gathers_images: ClassVar[bool] = True
    views: ClassVar[int] = 3

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> "BCLModule":
        """See `Loss.bind`. The initial weights are drawn from torch's random generator."""
        return BCLModule(self, class_counts, check_num_features(self.name, num_features))

    @property
    def logit_scale(self) -> float:
        """See `Loss.logit_scale`."""
        return self.scale


class BCLModule(LossModule):
    """`BCL` for a data set. Call `attach` with the model before the first batch: prototypes come from its classifier.

    A deep copy refers to no model; call its `attach`.

    Example:
        ```python
        criterion = ltzoo.create_loss(
            "bcl", class_counts, num_features=64, temperature=0.1, scale=1.0, ce_weight=2.0, contrast_weight=0.6,
            hidden_size=512, projection_size=128,
        )
        criterion.attach(model)
        optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.15, momentum=0.9)
        for views, targets in loader:  # (B, 3, channels, H, W)
            features = model.forward_head(model.forward_features(views.flatten(0, 1)), pre_logits=True)
            features = features.unflatten(0, views.shape[:2])
            outputs = Outputs(model.get_classifier()(features), features=features)
            criterion(outputs, targets).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        ```

    Args:
        loss: the hyper-parameters.
        class_counts: (C,).
        num_features: F.
    """

    def __init__(self, loss: BCL, class_counts: Tensor | Sequence[int], num_features: int) -> None:
        super().__init__(loss)
        self.loss, self.num_features, self.num_classes = loss, num_features, len(class_counts)
        self.adjusted = LA(tau=1.0).bind(class_counts)
        self.head = ProjectionHead(num_features, loss.hidden_size, loss.projection_size)
        self.prototype_head = ProjectionHead(num_features, loss.hidden_size, loss.projection_size)
        self._classifier = Attached()

    def attach(self, model: nn.Module) -> None:
        """Take the model's classifier, whose weights are read anew in every pass.

        Args:
            model: its `get_classifier()`, as timm's models have it, returns a module with `weight`, (C, F).

        Raises:
            ValueError: the model has no such classifier.
        """
        find = getattr(model, "get_classifier", None)
        classifier = find() if callable(find) else None
        weight, expected = getattr(classifier, "weight", None), (self.num_classes, self.num_features)
        if not isinstance(weight, Tensor) or weight.shape != expected:
            found = tuple(weight.shape) if isinstance(weight, Tensor) else "none"
            raise ValueError(f"the loss bcl needs model.get_classifier().weight of shape {expected}, and found {found}")
        self._classifier = Attached(classifier)

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """See `LossModule.forward`; logits (B, 3, C) and features (B, 3, F)."""
        logits, features = take_views(self.loss.name, outputs, self.loss.views, self.num_features)
        classifier: Any = self._classifier.module
        if classifier is None:
            raise ValueError(
                "the loss bcl takes its prototypes from the classifier: call attach(model) before training, also for a "
                "copy of the loss"
            )
        features, labels, own = gather(features, targets)
        # BatchNorm sees all three views, as in the code, which projects view 0 too and does not use it.
        projections = self.head(features)
        prototypes = self.prototype_head(classifier.weight)
        contrast = self._contrast(projections[:, 1:], labels, own, prototypes)
        classified = self.adjusted(self.loss.scale * logits[:, 0], targets)
        return self.loss.ce_weight * classified + self.loss.contrast_weight * contrast

    def _contrast(self, projections: Tensor, labels: Tensor, own: slice, prototypes: Tensor) -> Tensor:
        """Compute the mean L_i of each image's two views.

        Args:
            projections: (B, 2, P) of all processes.
            labels: (B,).
            own: this process's part of the B images, b of them.
            prototypes: (C, P).

        Returns:
            (b,).
        """
        images, classes = len(labels), len(prototypes)
        compared = torch.cat([projections.flatten(0, 1), prototypes])
        compared_labels = torch.cat([labels.repeat_interleave(2), torch.arange(classes, device=labels.device)])
        index = torch.arange(2 * images, device=labels.device)[2 * own.start : 2 * own.stop]
        anchors, anchor_labels = compared[index], compared_labels[index]

        same = anchor_labels.unsqueeze(1) == compared_labels
        itself = index.unsqueeze(1) == torch.arange(len(compared), device=labels.device)
        positive = same & ~itself
        # One-hot vectors would be a matrix of (2 * B + C) * C; sums of integers are exact in any order.
        counted = torch.zeros_like(compared_labels[:classes])
        sizes = counted.scatter_add_(0, compared_labels, torch.ones_like(compared_labels))[compared_labels]
        similarities = anchors @ compared.T / self.loss.temperature
        weighted = similarities - (sizes - same.int()).to(similarities.dtype).log()
        log_denominator = weighted.masked_fill(itself, -torch.inf).logsumexp(dim=1)
        mean_positive_similarity = (similarities * positive).sum(dim=1) / positive.sum(dim=1)
        return (log_denominator - mean_positive_similarity).unflatten(0, (-1, 2)).mean(dim=1)
