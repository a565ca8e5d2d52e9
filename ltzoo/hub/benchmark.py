"""The benchmark of a checkpoint: that of its recipe, or, where the images lay in files, as its `config.json` tells."""

from collections.abc import Mapping
from typing import Any

from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, View
from ltzoo.errors import InputError
from ltzoo.hub.layout import CONFIG
from ltzoo.recipes import Recipe


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
    counts, names, cfg = config.get("class_counts"), config.get("label_names"), config["pretrained_cfg"]
    if not (
        isinstance(counts, list)
        and isinstance(names, list)
        and len(counts) == len(names) == config["num_classes"] > 0
        and all(isinstance(count, int) and count > 0 for count in counts)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    ):
        raise InputError(f"{CONFIG} is damaged: it does not say which classes there were; fetch it again")
    try:
        view = View(
            size=int(cfg["input_size"][-1]),
            mean=tuple(map(float, cfg["mean"])),
            std=tuple(map(float, cfg["std"])),
            crop_pct=float(cfg["crop_pct"]),
            interpolation=str(cfg["interpolation"]),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{CONFIG} is damaged: it does not say how images reach the model; fetch it again") from error
    return NATURAL_BENCHMARKS[recipe.benchmark].opened(counts, names, view)
