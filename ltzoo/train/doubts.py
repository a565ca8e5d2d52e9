"""What a recipe says that can hardly be meant: it is trained all the same, and the user is told."""

from collections.abc import Sequence

import torch

from ltzoo.recipes import Fresh, Recipe
from ltzoo.sharpness import tail_partition

_USUAL_OF_ADAMW = 1e-3
"""Learning rates above it are SGD's."""


def doubts(recipe: Recipe, class_counts: Sequence[int]) -> list[str]:
    """Say what can hardly be meant, a line each.

    Args:
        recipe: what is to be trained.
        class_counts: (C,) training images of each class.
    """
    found = []
    still = ["all but the head"] if recipe.trainable.weights == "head" else []
    still += ["BatchNorm's statistics"] if recipe.trainable.batchnorm == "frozen" else []
    if still and recipe.start == Fresh():
        found.append(
            f"{' and '.join(still)} stay fresh; to start from given weights, add --pretrained or --initial-checkpoint"
        )
    if recipe.optimizer.kind == "adamw" and recipe.optimizer.lr > _USUAL_OF_ADAMW:
        found.append(f"a learning rate of {recipe.optimizer.lr} is SGD's; adamw wants less, such as --lr 1e-4")
    eta = getattr(recipe.perturbation, "eta", None)
    if eta is not None:
        tail = int(tail_partition(torch.tensor(class_counts), eta).sum())
        if tail in (0, len(class_counts)):
            whose = "no class is tail" if tail == 0 else "every class is tail"
            found.append(
                f"{whose} by perturbation.eta, {eta}: set it between {min(class_counts)} and {max(class_counts)}, "
                "or to a share of the classes, as in {share: 0.65}"
            )
    return found
