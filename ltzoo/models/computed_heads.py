"""Classifier weights that are computed without training: from features of the training images, or from weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ltzoo.models.heads import NearestMeanClassifier, ScaledCosineClassifier


@torch.no_grad()
def fit_class_means_(head: ScaledCosineClassifier, features: Tensor, labels: Tensor) -> None:
    """Set the class vectors to the directions of the classes' mean features, in place, and the mean feature length.

    Args:
        head: the head.
        features: (N, in_features) of un-augmented training images.
        labels: (N,) int64; every class has an image.

    Raises:
        ValueError: a class has none.
    """
    features = features.double()
    head.weight.copy_(F.normalize(_class_means(features, labels, len(head.weight)), dim=1))
    head.feature_length.copy_(features.norm(dim=1).mean())


@torch.no_grad()
def tau_normalize_(linear: nn.Linear, tau: float) -> None:
    """Divide each weight vector by its norm to the power of tau and drop the bias, in place (Kang 2020, section 4).

    Args:
        linear: a trained classifier with weight vectors above 0.
        tau: the strength.
    """
    weight = linear.weight.double()
    linear.weight.copy_(weight / weight.norm(dim=1, keepdim=True) ** tau)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


@torch.no_grad()
def fit_nearest_mean_(head: NearestMeanClassifier, features: Tensor, labels: Tensor) -> None:
    """Set center and class means from training features, in place; see `NearestMeanClassifier`.

    Args:
        head: the head.
        features: (N, in_features) of un-augmented training images.
        labels: (N,) int64; every class has an image.

    Raises:
        ValueError: a class has none.
    """
    features = features.double()
    center = features.mean(dim=0)
    head.center.copy_(center)
    head.weight.copy_(_class_means(F.normalize(features - center, dim=1), labels, len(head.weight)))


def _class_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the mean of each class's features, (classes, D) float64.

    Raises:
        ValueError: a class has no features.
    """
    images = torch.bincount(labels, minlength=classes)
    empty = (images == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"these classes have no features, so no mean: {empty[:10]}; give at least one image of each")
    return features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features) / images[:, None]
