"""The cost of a recipe: forward passes per image, and epochs."""

from ltzoo.data import ClassAwareSampler
from ltzoo.recipes.recipe import Recipe
from ltzoo.sharpness import CCSAM, SSESAM
from ltzoo.sharpness.schedules import in_first_stage

_PASSES = {
    "sgd": 3.0,
    "sam": 6.0,
    "focalsam": 8.0,
    "imbsam": 8.0,
    "samext": 11.0,
    "pgd": 3.0,
    "lpfsgd": 3.0,
    "gnm": 3.0,
    "asam": 6.0,
    "gsam": 6.0,
    "ccsam": 3.0,
    "groupsam": 11.0,
}
"""Cost per image of each method, in forward passes (docs/sharpness.md); that of SSE-SAM follows from its two stages.

CC-SAM's further passes are of the classifier alone, unless all parameters are its scope.
"""

_ROW_OF_ALL = 5.0
"""What a row that moves all parameters adds: a backward pass at w, a forward and a backward pass where it moves."""

_GRADIENT = 3.0
"""A gradient of all weights in forward passes; that of the head alone is one, with everything below it frozen."""


def passes_per_image(recipe: Recipe) -> float | None:
    """Return the cost of a training image in one epoch, in forward passes; None if it is not known.

    It is not known of others' methods, and where it depends on the classes in a folder of images. A sampler with more
    draws than images sees an image several times. Where the head alone is trained, nothing is differentiated below it:
    a gradient costs one forward pass, not three. Each view that the model sees costs as much as an image; what a loss
    runs by itself is not counted.
    """
    passes = _PASSES.get(recipe.perturbation.name)
    if isinstance(recipe.perturbation, SSESAM):
        passes = _mean_of_stages(recipe.perturbation.gamma, recipe.schedule.epochs)
    if passes is None:
        return None
    if isinstance(recipe.perturbation, CCSAM) and recipe.perturbation.scope == "all":
        if recipe.natural:
            return None  # its rows are as many as the classes, which the folder of images tells
        passes += _ROW_OF_ALL * len(recipe.data.class_counts)
    passes *= recipe.loss.model_views or recipe.loss.views
    if isinstance(recipe.sampler, ClassAwareSampler) and recipe.sampler.draws is not None:
        if recipe.natural:
            return None
        passes *= recipe.sampler.draws / sum(recipe.data.class_counts)
    # With adapters, norms or biases the gradient passes through all layers, but few weights have one.
    return passes * {"all": 1.0, "backbone": 1.0, "head": 1 / _GRADIENT}.get(recipe.trainable.weights, 2 / _GRADIENT)


def _mean_of_stages(gamma: float, epochs: int) -> float:
    """Return SSE-SAM's mean cost over the epochs: that of SAM (ext.) in stage 1, that of ImbSAM in stage 2."""
    first = sum(in_first_stage(gamma, epoch, epochs) for epoch in range(epochs))
    return (first * _PASSES["samext"] + (epochs - first) * _PASSES["imbsam"]) / epochs


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
