"""GLMC's loss: two views of mixed images, two classifiers, and agreement between the views."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.losses.cross_entropy import summed_cross_entropy
from ltzoo.losses.loss import Loss, LossModule, as_counts, check_num_features
from ltzoo.losses.outputs import Outputs, at_least_float32
from ltzoo.losses.reweighting import InversePower

_VIEWS = 2


class MixedViewsLoss(LossModule):
    """GLMC's loss, see `GLMC`, with what is used in training alone.

    Call `begin` before each epoch: of the two classifiers, only the plain one learns in epoch 0.

    Example:
        ```python
        criterion = ltzoo.create_loss(
            "glmc", class_counts, num_features=64, power=1.2, consistency=4.0, epochs=200, projection_size=128
        )
        optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.01, momentum=0.9)
        for epoch in range(200):
            criterion.begin(epoch)
            for views, targets, others, share in loader:  # (B, 2, channels, H, W): share of the image, rest of another
                features = model.forward_head(model.forward_features(views.flatten(0, 1)), pre_logits=True)
                features = features.unflatten(0, views.shape[:2])
                outputs = Outputs(model.get_classifier()(features), features=features)
                mixed = share * criterion(outputs, targets) + (1 - share) * criterion(outputs, others)
                mixed.mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        ```

    Args:
        loss: its record.
        counts: (C,) training images of each class.
        num_features: F, size of the features.

    Attributes:
        classifier: the plain classifier fc, features to logits.
        projection: features to the space in which views are compared.
        predictor: projections to what they should be in the other view.
    """

    weight: Tensor

    def __init__(self, loss: "GLMC", counts: Tensor, num_features: int) -> None:
        super().__init__(loss)
        self.epochs, self.consistency = loss.epochs, loss.consistency
        self.register_buffer("weight", InversePower(loss.power).weights(counts, 0))
        self.classifier = nn.Linear(num_features, len(counts))
        self.projection = nn.Linear(num_features, loss.projection_size)
        self.predictor = nn.Linear(loss.projection_size, loss.projection_size)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Set the share of the plain classifier in an epoch, from 0.

        Raises:
            ValueError: it is not one of the loss's epochs.
        """
        if not 0 <= epoch < self.epochs:
            raise ValueError(f"the loss glmc is for {self.epochs} epochs, counted from 0; {epoch} is none of them")
        self.share = 1 - (epoch / self.epochs) ** 2

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image for one of its labels; it is linear in the labels' weights.

        Args:
            outputs: logits (B, 2, C) and features (B, 2, F) of mixup's and CutMix's view.
            targets: (B,) int64, the first or the second label of each mixed image.

        Returns:
            (B,) losses.
        """
        features = outputs.features if isinstance(outputs, Outputs) else None
        if not isinstance(outputs, Outputs) or features is None or features.ndim != 3 or features.shape[1] != _VIEWS:
            raise ValueError(
                "the loss glmc needs two views of each image: "
                "pass ltzoo.losses.Outputs with logits (B, 2, C) and features (B, 2, F)"
            )
        features, logits = at_least_float32(features), at_least_float32(outputs.logits)
        plain = summed_cross_entropy(self.classifier(features), targets)
        balanced = summed_cross_entropy(logits, targets)
        projected = self.projection(features)
        predicted = self.predictor(projected)
        agreement = F.cosine_similarity(predicted, projected.detach().flip(1), dim=2).sum(dim=1)
        weight = self.weight.to(balanced.dtype)[targets]
        return self.share * plain + (1 - self.share) * weight * balanced - self.consistency * agreement


@dataclass(frozen=True)
class GLMC(Loss):
    """Global and local mixture consistency (Du 2023): two mixed views, two classifiers, one that remains.

    View 0 is mixed by mixup, view 1 by CutMix, both with the same partner, the same lambda and the same label weights
    y, which CutMix's clipping does not change. With the plain classifier fc of this module, the model's own classifier
    fc_cb, projections h and predictions p (linear layers of this module), and sg for detached:

        a * [H(fc, 0) + H(fc, 1)] + (1 - a) * [H_w(fc_cb, 0) + H_w(fc_cb, 1)] - consistency * [cos(p_0, sg h_1) +
        cos(p_1, sg h_0)],    a = 1 - (epoch / epochs)^2

    H is the cross-entropy with y, H_w that with y_j * v_j, where v_j is proportional to n_j^-power and adds up to C.
    Being linear in y, it is computed for one label at a time, as `ltzoo.sharpness.MixedTargets` need it.

    Attributes:
        power: exponent of the class weights v.
        consistency: how much the agreement of the views counts.
        epochs: of the whole training.
        projection_size: size of projections and predictions.
    """

    power: float
    consistency: float
    epochs: int
    projection_size: int
    name: ClassVar[str] = "glmc"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})
    views: ClassVar[int] = _VIEWS
    weighs: ClassVar[bool] = True
    mixes_views: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1 or self.projection_size < 1:
            raise ValueError(
                f"epochs and projection_size must be at least 1, not {self.epochs} and {self.projection_size}"
            )

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> MixedViewsLoss:
        """See `Loss.bind`."""
        return MixedViewsLoss(self, as_counts(class_counts), check_num_features(self.name, num_features))

    def scaled(self, epochs: int, of: int) -> "GLMC":
        """See `Loss.scaled`."""
        return replace(self, epochs=max(1, self.epochs * epochs // of))
