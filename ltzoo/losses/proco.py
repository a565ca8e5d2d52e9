"""ProCo: contrast with all vectors that a class could have, drawn from a distribution estimated for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ltzoo.losses.cross_entropy import LA
from ltzoo.losses.gathering import gather
from ltzoo.losses.loss import LossModule, check_num_features
from ltzoo.losses.outputs import Outputs
from ltzoo.losses.projection import ProjectionHead, ProjectionLoss
from ltzoo.losses.views import check_unmixed, take_views
from ltzoo.losses.von_mises_fisher import estimate_concentration, log_normalizer


@dataclass(frozen=True)
class ProCo(ProjectionLoss):
    """Probabilistic contrastive learning (Du 2024): LA, tau = 1, on view 0, plus a contrastive loss on views 1, 2.

    The projections u of class j are taken to follow a von Mises-Fisher distribution with mean direction mu_j and
    concentration kappa_j. The contrastive loss is LA, tau = 1, of the logits

        g_j = log E[exp(<u, v> / T)] over all v of class j = log C_p(kappa_j) - log C_p(|kappa_j * mu_j + u / T|)

    as with infinitely many samples of each class.

    mu_j and kappa_j follow from the mean vector of the class over the last epoch and this epoch's batches so far, the
    batch itself included, as in its code. Two things differ from the code: a class without images in an epoch keeps its
    mean (there it gets a random one), and log C_p is exact for large kappa too (there its recurrence begins at too low
    an order).

    Attributes:
        temperature: T, above 0.
        scale: s, by which the model's logits are multiplied: 1 for a linear classifier; cosine similarities need more,
            30 in its code.
        weight: of the contrastive loss; 1 in its code.
        hidden_size: hidden units of the projection head.
        projection_size: p, the size of u.
    """

    temperature: float
    scale: float
    weight: float
    hidden_size: int
    projection_size: int
    name: ClassVar[str] = "proco"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})
    gathers_images: ClassVar[bool] = True
    views: ClassVar[int] = 3

    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> "ProCoModule":
        """See `Loss.bind`. The initial weights and means are drawn from torch's random generator."""
        return ProCoModule(self, class_counts, check_num_features(self.name, num_features))

    @property
    def logit_scale(self) -> float:
        """See `Loss.logit_scale`."""
        return self.scale


class ProCoModule(LossModule):
    """`ProCo` for a data set.

    Call `begin(epoch)` before each epoch and `commit` after each step, once the gradients are computed. With several
    processes the batch is all of theirs together, and all end with the same statistics.

    Example:
        ```python
        criterion = ltzoo.create_loss(
            "proco", class_counts, num_features=64, temperature=0.1, scale=1.0, weight=1.0, hidden_size=512,
            projection_size=128,
        )
        optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.3, momentum=0.9)
        for epoch in range(epochs):
            criterion.begin(epoch)
            for views, targets in loader:  # (B, 3, channels, H, W)
                features = model.forward_head(model.forward_features(views.flatten(0, 1)), pre_logits=True)
                features = features.unflatten(0, views.shape[:2])
                outputs = Outputs(model.get_classifier()(features), features=features)
                criterion(outputs, targets).mean().backward()
                criterion.commit(outputs.detach(), targets)
                optimizer.step()
                optimizer.zero_grad()
        ```

    Args:
        loss: the hyper-parameters.
        class_counts: (C,).
        num_features: F.
    """

    means: Tensor
    counts: Tensor
    epoch_means: Tensor
    epoch_counts: Tensor

    unwritten: ClassVar[frozenset[str]] = frozenset({"means", "counts", "epoch_means", "epoch_counts"})

    def __init__(self, loss: ProCo, class_counts: Tensor | Sequence[int], num_features: int) -> None:
        super().__init__(loss)
        self.loss, self.num_features = loss, num_features
        self.adjusted = LA(tau=1.0).bind(class_counts)
        self.head = ProjectionHead(num_features, loss.hidden_size, loss.projection_size)
        classes = len(class_counts)
        # Before its first image, a class has a random direction of some concentration, with a count of 0.
        means = 0.9 * F.normalize(torch.randn(classes, loss.projection_size, dtype=torch.float64), dim=1)
        self.register_buffer("means", means)
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))
        # Of this epoch alone: what the next one begins with.
        self.register_buffer("epoch_means", torch.zeros_like(means))
        self.register_buffer("epoch_counts", torch.zeros_like(self.counts))

    def begin(self, epoch: int) -> None:
        """Forget what is older than the epoch that ends: the network has changed since."""
        self.means.copy_(torch.where(self.epoch_counts.unsqueeze(1) > 0, self.epoch_means, self.means))
        self.counts.copy_(self.epoch_counts)
        self.epoch_means.zero_()
        self.epoch_counts.zero_()

    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """See `LossModule.forward`; logits (B, 3, C) and features (B, 3, F)."""
        logits, projections, labels, own = self._project(outputs, targets)
        means, counts = self.means, self.counts
        contrast = torch.zeros((), device=logits.device)
        for view in (1, 2):
            # The code updates its statistics between the views.
            means, counts = add_to_means(means, counts, projections[:, view].detach(), labels)
            contrast = contrast + self.adjusted(self.similarities(projections[own, view], means), targets)
        classified = self.adjusted(self.loss.scale * logits[:, 0], targets)
        return classified + (self.loss.weight / 2 * contrast).to(classified.dtype)

    @torch.no_grad()
    def commit(self, outputs: Outputs | Tensor, targets: Tensor) -> None:
        """See `LossModule.commit`."""
        check_unmixed(self.loss.name, targets)
        _, projections, labels, _ = self._project(outputs, targets)
        for view in (1, 2):
            for means, counts in ((self.means, self.counts), (self.epoch_means, self.epoch_counts)):
                new = add_to_means(means, counts, projections[:, view], labels)
                means.copy_(new[0])
                counts.copy_(new[1])

    def similarities(self, vectors: Tensor, means: Tensor) -> Tensor:
        """Compute g_j(u) = log E[exp(<u, v> / T)] with v of class j.

        Args:
            vectors: (B, p) unit vectors u.
            means: (C, p) mean vectors of the classes.

        Returns:
            (B, C) float64: in float32 the norms would have errors of 0.001 at the largest concentrations.
        """
        means, inverse = means.double(), 1 / self.loss.temperature
        kappa = estimate_concentration(means.norm(dim=1), means.shape[1])
        cosines = vectors.double() @ F.normalize(means, dim=1).T
        square = kappa.square() + inverse**2 + 2 * inverse * kappa * cosines
        norms = square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()
        return log_normalizer(kappa, means.shape[1]) - log_normalizer(norms, means.shape[1])

    def _project(self, outputs: Outputs | Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, slice]:
        """Take logits, and projections and labels of all processes, with the slice of them that is this one's.

        The head's BatchNorm sees all three views, as in the code, which projects view 0 too and does not use it.
        """
        logits, features = take_views(self.loss.name, outputs, self.loss.views, self.num_features)
        features, labels, own = gather(features, targets)
        return logits, self.head(features), labels, own


def add_to_means(means: Tensor, counts: Tensor, vectors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Continue the mean vector of each class with a batch.

    Args:
        means: (C, p).
        counts: (C,) int64, how many vectors they are of; a mean of 0 vectors counts nothing.
        vectors: (B, p).
        labels: (B,) int64.

    Returns:
        Means and counts of the old vectors and the new; a class without any keeps what it has.
    """
    member = F.one_hot(labels, len(means))
    new = member.sum(dim=0)
    total = counts + new
    # A product of matrices, not a scattered sum: every run and every process adds up in the same order.
    sums = member.double().T @ vectors.double()
    moved = (means.double() * counts.unsqueeze(1) + sums) / total.clamp_min(1).unsqueeze(1)
    return torch.where(new.unsqueeze(1) > 0, moved.to(means.dtype), means), total
