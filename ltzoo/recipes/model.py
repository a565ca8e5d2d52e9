"""From a recipe to its untrained model."""

from typing import Any

import timm
from torch import nn

import ltzoo.models  # noqa: F401  registers the architectures with timm
from ltzoo.errors import InputError
from ltzoo.recipes.recipe import Recipe


def model_arguments(recipe: Recipe) -> dict[str, Any]:
    """Name what timm must be told to build a recipe's architecture, beside the number of classes."""
    classifier = {} if recipe.classifier == "linear" else {"classifier": recipe.classifier}
    return {"in_chans": recipe.data.data_set.channels} | classifier


def build_model(recipe: Recipe, num_classes: int | None = None, **kwargs: Any) -> nn.Module:
    """Build a recipe's model with fresh weights; its `pretrained_cfg` describes the benchmark's images.

    Args:
        recipe: the recipe.
        num_classes: the benchmark's number unless given.
        **kwargs: for `timm.create_model`.

    Raises:
        InputError: timm knows no such architecture, or cannot build it with these arguments.
    """
    if not timm.is_model(recipe.architecture):
        raise InputError(f"architecture {recipe.architecture!r} is unknown to timm; see timm.list_models()")
    data_set = recipe.data.data_set
    size = (data_set.channels, data_set.image_size, data_set.image_size)
    overlay = {
        "input_size": size,
        "pool_size": None,
        "mean": data_set.mean,
        "std": data_set.std,
        "num_classes": data_set.num_classes,
        "crop_pct": 1.0,
    }
    classes = data_set.num_classes if num_classes is None else num_classes
    arguments = model_arguments(recipe) | {"num_classes": classes} | kwargs
    try:
        return timm.create_model(recipe.architecture, pretrained_cfg_overlay=overlay, **arguments)
    except (TypeError, RuntimeError) as error:
        if kwargs:
            raise  # the caller's mistake, not the recipe's
        reason = " ".join(str(error).split())
        raise InputError(f"timm cannot build {recipe.architecture} with {arguments}: {reason}") from error
