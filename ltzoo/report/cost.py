"""The cost of a recipe: forward passes per image, epochs and measured minutes."""

from ltzoo.recipes import Recipe

_PASSES = {
    "sgd": 3.0,
    "sam": 6.0,
    "focalsam": 8.0,
    "imbsam": 8.0,
    "samext": 11.0,
    "ssesam": 10.1,
    "pgd": 3.0,
    "lpfsgd": 3.0,
}
"""Mean cost per image of each method, in forward passes (docs/sharpness.md); SSE-SAM with gamma = 0.7."""

_GRADIENT = 3.0
"""A gradient of all weights in forward passes; that of the head alone is one, with everything below it frozen."""


def passes_per_image(recipe: Recipe) -> float | None:
    """Return the cost of an image in one epoch, in forward passes; None for a perturbation that is not ours.

    Where the head alone is trained, nothing is differentiated below it: a gradient costs one forward pass, not three.
    Each view that the model sees costs as much as an image; what a loss runs by itself is not counted.
    """
    passes = _PASSES.get(recipe.perturbation.name)
    if passes is None:
        return None
    passes *= recipe.loss.model_views or recipe.loss.views
    return passes if recipe.trainable.weights == "all" else passes / _GRADIENT


def total_passes(recipe: Recipe) -> float | None:
    """Return the cost of an image over all epochs, in forward passes; a head that is computed takes one."""
    passes = passes_per_image(recipe)
    return passes if passes is None or recipe.head.computed else passes * recipe.schedule.epochs


def passes_text(recipe: Recipe) -> str:
    """Format passes per image times epochs, such as `3 x 200`; `computed` if nothing is trained."""
    if recipe.head.computed:
        return "computed"
    passes = passes_per_image(recipe)
    return f"{'?' if passes is None else f'{passes:g}'} x {recipe.schedule.epochs}"


def minutes_text(minutes: float) -> str:
    """Format minutes, with a decimal below ten; blank if no time was recorded, as of a head that is computed."""
    return "" if minutes == 0 else f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"
