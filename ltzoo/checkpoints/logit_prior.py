"""The class prior that the logits of a recipe's model stand for, and whether they are re-balanced already."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from ltzoo.evaluate.prior import LogitPrior, prior_of_logits
from ltzoo.losses.loss import as_counts, log_prior
from ltzoo.recipes import Recipe, ScaledCosineHead

_BALANCED = {"instance": False, "class_aware": True}
"""Whether a sampler draws each class equally often."""


def prior_of_recipe(
    recipe: Recipe, class_counts: Sequence[int], epochs: int | None = None
) -> tuple[LogitPrior | None, str]:
    """Say which class prior the logits of a recipe's model stand for.

    Args:
        recipe: what it was trained by.
        class_counts: (C,) training images of each class.
        epochs: how many epochs it was trained; None for all.

    Returns:
        The prior; None, and why, if it is unknown.
    """
    if recipe.head.computed:
        return None, f"its head {recipe.head.name} is computed, not trained"
    if recipe.sampler.name not in _BALANCED:
        return None, f"its images were drawn by the sampler {recipe.sampler.name}"
    weights = recipe.reweighting.weights(class_counts, (epochs or recipe.schedule.epochs) - 1)
    old = prior_of_logits(recipe.loss, class_counts, weights, balanced=_BALANCED[recipe.sampler.name])
    if old is not None and old.caveat is None and any(view.mixup or view.cutmix for view in recipe.views):
        old = replace(old, caveat="images were mixed in training (mixup, CutMix)")
    if old is not None and old.caveat is None and recipe.head.name == ScaledCosineHead.name:
        old = replace(old, caveat="its head divides by the length of the features in training alone")
    return old, f"its loss is {recipe.loss.name}"


def already_rebalanced(recipe: Recipe, class_counts: Sequence[int], epochs: int | None = None) -> str | None:
    """Say why the logits of a recipe's model need no re-balancing; None where they stand for the training prior.

    Where the prior of a trained head is unknown, this is None as well: nothing is claimed.

    Args:
        recipe: what the model was trained by.
        class_counts: (C,) training images of each class.
        epochs: how many epochs it was trained; None for all.
    """
    if recipe.head.computed:
        return f"the head {recipe.head.name} of {recipe.name} was computed to balance the classes"
    prior, _ = prior_of_recipe(recipe, class_counts, epochs)
    if prior is None or torch.allclose(prior.log_shares, log_prior(as_counts(class_counts)), rtol=0, atol=1e-6):
        return None
    return f"the logits of {recipe.name} stand for the class prior {prior.words}, not for that of the training images"
