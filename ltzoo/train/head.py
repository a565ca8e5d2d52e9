"""The head while it trains: how it is put on the loaded weights, computed or started, and folded for the checkpoint."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from ltzoo.errors import InputError
from ltzoo.models.classifiers import classifier_names, classifier_of
from ltzoo.models.computed_heads import fit_class_means_, fit_nearest_mean_, tau_normalize_
from ltzoo.models.heads import DisAlignClassifier, NearestMeanClassifier, ScaledCosineClassifier, ScaledLinear
from ltzoo.recipes import Head, ScaledCosineHead, ScaledHead, TauNormHead

Features = Callable[[], tuple[Tensor, Tensor]]
"""Computes the features of the un-augmented training images, (N, F) on the CPU, and their labels, (N,)."""


def put_head(model: nn.Module, head: Head) -> None:
    """Give a model the head that its recipe trains, in place: LWS's scale beside the loaded classifier, for example.

    Args:
        model: the recipe's model, as it is stored, with its first weights.
        head: the recipe's head.

    Raises:
        InputError: the head changes or replaces a linear classifier, and the model has none, or a vector of it is 0.
    """
    if isinstance(head, ScaledHead):
        linear = _linear(model, head)
        for parameter in linear.parameters() if head.lr_factor == 0 else ():
            parameter.requires_grad_(False)
        _replace_classifier(model, ScaledLinear(linear))
    elif isinstance(head, ScaledCosineHead):
        _replace_classifier(model, ScaledCosineClassifier(_linear(model, head), head.scale))
    elif isinstance(head, TauNormHead):
        if not bool((_linear(model, head).weight.norm(dim=1) > 0).all()):
            raise InputError("tau-normalisation needs weight vectors above 0, but one of the start's is 0")
    else:
        found = classifier_of(model)
        if isinstance(found, DisAlignClassifier):
            found.weight.requires_grad_(False)
            found.bias.requires_grad_(False)


def slow_parameters(model: nn.Module, head: Head) -> tuple[list[nn.Parameter], float]:
    """Return the head's parameters with a learning rate of their own, and its factor."""
    found = classifier_of(model)
    if not (isinstance(head, ScaledHead) and head.lr_factor and isinstance(found, ScaledLinear)):
        return [], 1.0
    return [parameter for parameter in found.parameters() if parameter is not found.scale], head.lr_factor


def compute_head(model: nn.Module, head: Head, features: Features) -> None:
    """Compute a head that is not trained, or the class vectors that a trained one begins with, in place.

    Args:
        model: the recipe's model with the weights of the start.
        head: the recipe's head.
        features: called where the head needs the training features.
    """
    found = classifier_of(model)
    if isinstance(head, TauNormHead):
        tau_normalize_(cast(nn.Linear, found), head.tau)
    elif isinstance(found, NearestMeanClassifier):
        fit_nearest_mean_(found, *features())
    elif isinstance(found, ScaledCosineClassifier):
        fit_class_means_(found, *features())


def fold_head(model: nn.Module) -> None:
    """Give a model the head of its checkpoint, in place: a scaled classifier becomes a linear layer."""
    found = classifier_of(model)
    if isinstance(found, ScaledLinear | ScaledCosineClassifier):
        _replace_classifier(model, found.folded())


def _linear(model: nn.Module, head: Head) -> nn.Linear:
    found = classifier_of(model)
    if not isinstance(found, nn.Linear):
        kind = type(found).__name__
        raise InputError(f"the head {head.name} changes a linear classifier, but the model has a {kind}")
    return found


def _replace_classifier(model: nn.Module, classifier: nn.Module) -> None:
    (name,) = classifier_names(model)
    parent, _, last = name.rpartition(".")
    place: Any = model.get_submodule(parent)
    classifier.train(model.training)
    setattr(place, last, classifier)
