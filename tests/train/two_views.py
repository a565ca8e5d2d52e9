"""A made-up loss of two views: a projection head with BatchNorm, and class means of all processes' projections."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from ltzoo.data import Augmentation
from ltzoo.losses import Loss, LossModule
from ltzoo.registry import get_recipe


class TwoViewsModule(LossModule):
    """Cross-entropy of view 0, and how far the projections of both views are from each other and from their class."""

    def __init__(self, loss, classes, features):
        super().__init__(loss)
        self.head = nn.Sequential(nn.Linear(features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
        self.register_buffer("means", torch.zeros(classes, 4))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("first_weights", torch.zeros(()))

    def attach(self, model):
        self.first_weights.copy_(sum(weights.detach().abs().sum() for weights in model.parameters()))

    def project(self, outputs):
        return self.head(outputs.features.flatten(0, 1)).unflatten(0, outputs.features.shape[:2])

    def forward(self, outputs, targets):
        batch, views, _ = outputs.features.shape
        assert (batch, views) == outputs.logits.shape[:2] == (len(targets), 2)
        projected = self.project(outputs)
        apart = 1 - F.cosine_similarity(projected[:, 0], projected[:, 1])
        from_class = (projected.mean(dim=1) - self.means[targets]).square().mean(dim=1)
        return F.cross_entropy(outputs.logits[:, 0], targets, reduction="none") + 0.1 * (apart + from_class)

    @torch.no_grad()
    def commit(self, outputs, targets):
        one_hot = F.one_hot(targets, len(self.means)).float()
        self.head.eval()
        sums = one_hot.T @ self.project(outputs).mean(dim=1)
        self.head.train()
        counts = one_hot.sum(dim=0)
        if self.gathers and dist.is_initialized():
            dist.all_reduce(sums)
            dist.all_reduce(counts)
        seen = counts > 0
        self.means[seen] += 0.1 * (sums[seen] / counts[seen].unsqueeze(1) - self.means[seen])
        self.batches += 1

    gathers = True


@dataclass(frozen=True)
class TwoViews(Loss):
    """Two views of each image."""

    name: ClassVar[str] = "two_views"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})
    ties_images: ClassVar[bool] = True
    views: ClassVar[int] = 2

    def bind(self, class_counts, num_features=None):
        return TwoViewsModule(self, len(class_counts), num_features)


CROPS = (Augmentation(2, False), Augmentation(2, False, cutout=4))
TURNED = (Augmentation(2, False), Augmentation(2, False, rotation=15, gaussian_blur_prob=0.5))


def recipe(perturbation="ssesam", views=CROPS, **changes):
    """Two epochs of four steps on the digits, of a network of timm's."""
    base = get_recipe(f"resnet20_digitslt_vs_{perturbation}" if perturbation != "sgd" else "resnet20_digitslt_ce_sgd")
    return replace(
        base.with_epochs(2),
        name=f"testnet_digitslt_twoviews_{perturbation}",
        architecture="test_resnet",
        protocol="mine",
        loss=TwoViews(),
        views=views,
        batch_size=128,
        optimizer=replace(base.optimizer, lr=0.01),
        **changes,
    )
