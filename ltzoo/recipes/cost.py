"""The cost of a recipe: forward passes per image, and epochs."""

from ltzoo.data import ClassAwareSampler
from ltzoo.recipes.recipe import Recipe
from ltzoo.sharpness import CCSAM, SSESAM
from ltzoo.sharpness.schedules import in_first_stage

_PASSES = {
    "sgd": (1, 1),
    "sam": (2, 2),
    "focalsam": (2, 3),
    "imbsam": (2, 3),
    "samext": (3, 4),
    "pgd": (1, 1),
    "lpfsgd": (1, 1),
    "gnm": (1, 1),
    "asam": (2, 2),
    "gsam": (2, 2),
    "ccsam": (1, 1),
    "groupsam": (3, 4),
}
"""Forward and backward passes of each method (docs/sharpness.md); those of SSE-SAM follow from its two stages.

CC-SAM's further passes are of the classifier alone, unless all parameters are its scope.
"""

_ROW_OF_ALL = 1, 2
"""What a row that moves all parameters adds: a backward pass at w, a forward and a backward pass where it moves."""

_BACKWARD = {"all": 2.0, "backbone": 2.0, "head": 0.0}
"""A backward pass in forward passes, by what is trained; below a head, nothing is differentiated.

With adapters, norms or biases it is one: the gradient passes through all layers, but few weights have one.
"""


def passes_per_image(recipe: Recipe) -> float | None:
    """Return the cost of a training image in one epoch, in forward passes; None if it is not known.

    It is not known of others' methods, and where it depends on the classes in a folder of images. A sampler with more
    draws than images sees an image several times. Each view that the model sees costs as much as an image; what a loss
    runs by itself is not counted.
    """
    if isinstance(recipe.perturbation, SSESAM):
        forward, backward = _mean_of_stages(recipe.perturbation.gamma, recipe.schedule.epochs)
    elif recipe.perturbation.name in _PASSES:
        forward, backward = _PASSES[recipe.perturbation.name]
    else:
        return None
    if isinstance(recipe.perturbation, CCSAM) and recipe.perturbation.scope == "all":
        if recipe.natural:
            return None  # its rows are as many as the classes, which the folder of images tells
        rows = len(recipe.data.class_counts)
        forward, backward = forward + rows * _ROW_OF_ALL[0], backward + rows * _ROW_OF_ALL[1]
    passes = forward + backward * _BACKWARD.get(recipe.trainable.weights, 1.0)
    passes *= recipe.loss.model_views or recipe.loss.views
    if isinstance(recipe.sampler, ClassAwareSampler) and recipe.sampler.draws is not None:
        if recipe.natural:
            return None
        passes *= recipe.sampler.draws / sum(recipe.data.class_counts)
    return passes


def _mean_of_stages(gamma: float, epochs: int) -> tuple[float, float]:
    """Return SSE-SAM's mean passes over the epochs: those of SAM (ext.) in stage 1, those of ImbSAM in stage 2."""
    share = sum(in_first_stage(gamma, epoch, epochs) for epoch in range(epochs)) / epochs
    forward, backward = (
        share * first + (1 - share) * second for first, second in zip(_PASSES["samext"], _PASSES["imbsam"], strict=True)
    )
    return forward, backward


def total_passes(recipe: Recipe) -> float | None:
    """Return the cost of an image over all epochs, in forward passes; a head that is computed takes one."""
    passes = passes_per_image(recipe)
    return passes if passes is None or recipe.head.computed else passes * recipe.schedule.epochs


def passes_text(recipe: Recipe) -> str:
    """Format passes per image times epochs, such as `3 x 200`; `computed` if nothing is trained."""
    if recipe.head.computed:
        return "computed"
    passes = passes_per_image(recipe)
    return f"{'?' if passes is None else f'{passes:.3g}'} x {recipe.schedule.epochs}"
