"""The benchmark of a checkpoint: that of its recipe, or, where the images lay in files, as its `config.json` tells."""

import math
from collections.abc import Mapping
from typing import Any

from torchvision.transforms import InterpolationMode

from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, ModelInput
from ltzoo.errors import InputError
from ltzoo.hub.layout import CONFIG
from ltzoo.recipes import Recipe

_RGB = 3
_LARGEST = 2**13
"""Pixels; a larger image is a damaged number."""


def benchmark_of(config: Mapping[str, Any], recipe: Recipe) -> Benchmark:
    """Make the benchmark that a checkpoint was trained on.

    Args:
        config: what `config.json` holds, see `read_config`.
        recipe: what it was trained by.

    Raises:
        InputError: class counts, class names or the description of the images are missing or make no sense.
    """
    if not recipe.natural:
        return recipe.data
    natural = NATURAL_BENCHMARKS[recipe.benchmark]
    counts, names = config.get("class_counts"), config.get("label_names")
    if not (
        isinstance(counts, list)
        and isinstance(names, list)
        and len(counts) == len(names) == config["num_classes"] > 0
        and natural.num_classes in (None, len(counts))
        and all(type(count) is int and count > 0 for count in counts)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    ):
        raise InputError(f"{CONFIG} is damaged: it does not say which classes there were; fetch it again")
    view = read_view(config["pretrained_cfg"])
    if len(view.mean) != _RGB:
        raise InputError(f"{CONFIG} is damaged: images in files have {_RGB} channels, not {len(view.mean)}")
    return natural.with_counts(counts, names, view)


def read_view(cfg: Mapping[str, Any]) -> ModelInput:
    """Read how images reach a model from its `pretrained_cfg`, with distrust.

    Args:
        cfg: timm's description of the model.

    Raises:
        InputError: it does not say, or what it says makes no sense.
    """
    try:
        channels, size, _ = _numbers(cfg["input_size"], int)
        mean, std = _numbers(cfg["mean"], float), _numbers(cfg["std"], float)
        (crop_pct,) = _numbers([cfg["crop_pct"]], float)
        interpolation = InterpolationMode(cfg["interpolation"]).value
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{CONFIG} is damaged: it does not say how images reach the model; fetch it again") from error
    if not (
        0 < size <= _LARGEST and channels == len(mean) == len(std) and min(std, default=0) > 0 and 0 < crop_pct <= 2
    ):
        raise InputError(f"{CONFIG} is damaged: images cannot reach the model as it says; fetch it again")
    return ModelInput(size, mean, std, crop_pct, interpolation)


def _numbers(values: Any, kind: type) -> tuple:
    """Read finite numbers, whole ones for `int`."""
    found = tuple(values)
    if not all(isinstance(value, int | kind) and not isinstance(value, bool) for value in found):
        raise TypeError(f"{found} are no numbers")
    if not all(map(math.isfinite, found)):
        raise ValueError(f"{found} are not finite")
    return tuple(map(kind, found))
