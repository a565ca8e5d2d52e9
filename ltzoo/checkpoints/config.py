"""Read a checkpoint's `config.json`: model, recipe, benchmark and image preprocessing, all validated."""

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torchvision.transforms import InterpolationMode

from ltzoo.checkpoints.files import CONFIG, MANIFEST, read_file, read_manifest
from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, ModelInput
from ltzoo.errors import InputError
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import parse_json
from ltzoo.recipes import Recipe, recipe_from_dict
from ltzoo.versions import NewerError, named_if_newer

RECIPE = "recipe"
"""Key of the recipe that the weights were trained by."""

EPOCH = "epoch"
"""Key of the number of epochs trained; absent for the last epoch's weights."""

WRITER = {"library_name": "ltzoo"}
"""Marks a `config.json` written by ltzoo, which always comes with a manifest."""

_PATHS = ("file", "hf_hub_filename", "state_dict")
"""Keys of timm's `pretrained_cfg` that would make timm read a file outside the checkpoint."""

_NOT_FOR_MODELS = {
    name
    for function in (timm.create_model, timm.models.build_model_with_cfg)
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
} | {"features_only", "out_indices", "feature_cls"}
"""Arguments that timm uses itself and does not pass to the model; some of them name files and repositories."""

_KNOWN = {
    *("architecture", "num_classes", "num_features", "global_pool", "model_args", "pretrained_cfg"),  # timm's
    *("label_names", "label_descriptions", "library_name"),
    *(RECIPE, EPOCH, "class_counts", "groups", "metrics", "seed", "subset_layout", "subset_sha256"),
    *("overrides", "run", "versions"),
}
"""Keys of a `config.json` that this version writes or reads."""

_TYPES = {"num_classes": int, "model_args": dict, "pretrained_cfg": dict}
_LAYERS = ("classifier", "first_conv")
_MOST_CLASSES = 2**24
_RGB = 3
_LARGEST_IMAGE = 2**13
"""Pixels per side; a larger number means a damaged file."""


def read_config(folder: Path) -> dict[str, Any]:
    """Read and validate a checkpoint's `config.json`.

    Raises:
        InputError: the folder or the file is missing, it does not describe a model, or it points outside the folder.
        NewerError: a newer version of ltzoo wrote it, and it has what this one does not know.
    """
    if not folder.is_dir():
        raise InputError(f"there is no checkpoint folder {folder}; check the path")
    if (folder / "checkpoint" / CONFIG).is_file():
        raise InputError(f"{folder} is a run folder; its checkpoint is {folder / 'checkpoint'}")
    path = folder / CONFIG
    try:
        config = parse_json(read_file(folder, CONFIG))
    except ContentError as error:
        raise InputError(f"{path} is damaged: {error}; fetch it again") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} names no architecture; it is no checkpoint of timm or ltzoo")
    with named_if_newer(path, config.get("versions"), unknown=sorted(set(config) - _KNOWN)):
        _check(path, config)
    if WRITER.items() <= config.items() and read_manifest(folder) is None:
        raise InputError(f"{folder / MANIFEST} is missing; a checkpoint of ltzoo has it")
    _refuse_other_files(path, config)
    return config


def _check(path: Path, config: dict[str, Any]) -> None:
    """Check the keys that describe the model."""
    if not isinstance(config.get("architecture"), str):
        raise InputError(f"{path} names no architecture; it is no checkpoint of timm or ltzoo")
    if not timm.is_model(config["architecture"]):
        raise InputError(f"{path} names an architecture unknown to timm: {config['architecture'][:80]!r}")
    if "pretrained_cfg" not in config:
        raise InputError(f"{path} has timm's old layout, without pretrained_cfg; load it with timm.create_model")
    config.setdefault("model_args", {})
    for key, kind in _TYPES.items():
        if not isinstance(config.get(key), kind):
            raise InputError(f"{path} is damaged: {key} is {str(config.get(key))[:80]!r}; fetch it again")
    if type(config["num_classes"]) is not int or not 0 <= config["num_classes"] <= _MOST_CLASSES:
        raise InputError(f"{path} is damaged: num_classes is {config['num_classes']}; fetch it again")
    for key in _LAYERS:
        layers = config["pretrained_cfg"].get(key) or ""
        if not isinstance(layers, str) and not (isinstance(layers, list) and all(isinstance(k, str) for k in layers)):
            raise InputError(f"{path} is damaged: pretrained_cfg.{key} is {str(layers)[:80]!r}; fetch it again")
    # Without a recipe the file is not from ltzoo, and `epoch` may mean anything.
    if RECIPE in config and not isinstance(config.get(EPOCH, 0), int):
        raise InputError(f"{path} is damaged: {EPOCH} is {str(config[EPOCH])[:80]!r}; fetch it again")


def read_recipe(folder: Path) -> Recipe:
    """Read the recipe that a checkpoint was trained by.

    Raises:
        InputError: `config.json` cannot be read, has no recipe, or one with unknown parts.
    """
    config = read_config(folder)
    recorded = config.get(RECIPE)
    if not isinstance(recorded, dict):
        raise InputError(f"{folder / CONFIG} names no recipe, so its benchmark is unknown; train it with ltzoo")
    try:
        with named_if_newer(folder / CONFIG, config.get("versions")):
            return recipe_from_dict(recorded)
    except NewerError:
        raise
    except InputError as error:
        raise InputError(
            f"{folder / CONFIG}: {error}; if the recipe holds a loss or perturbation of yours, add --import MODULE"
        ) from error


def evaluated_epoch(recipe: Recipe, epoch: int | None = None) -> str:
    """Say which weights of a run figures are of.

    Args:
        recipe: what the weights were trained by.
        epoch: the number of epochs trained, for the weights of an intermediate epoch; None for a run's last.

    Returns:
        `epoch N`, `computed, not trained` or `last epoch`.
    """
    if epoch is not None:
        return f"epoch {epoch}"
    return "computed, not trained" if recipe.head.computed else "last epoch"


def benchmark_of(config: Mapping[str, Any], recipe: Recipe) -> Benchmark:
    """Return the benchmark that a checkpoint was trained on.

    It is the recipe's; for benchmarks of image files, class counts and names come from `config.json`, and the size of
    images that are enlarged as well.

    Args:
        config: the content of `config.json`, see `read_config`.
        recipe: the recipe that it was trained by.

    Raises:
        InputError: class counts, class names or the image preprocessing are missing or invalid.
    """
    if not recipe.natural:
        return recipe.data if recipe.input is None else recipe.data.enlarged(read_view(config["pretrained_cfg"]))
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
    """Read and validate the image preprocessing in a model's `pretrained_cfg`.

    Args:
        cfg: timm's description of the model.

    Raises:
        InputError: a value is missing or invalid.
    """
    try:
        channels, size, _ = _numbers(cfg["input_size"], int)
        mean, std = _numbers(cfg["mean"], float), _numbers(cfg["std"], float)
        (crop_pct,) = _numbers([cfg["crop_pct"]], float)
        interpolation = InterpolationMode(cfg["interpolation"]).value
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{CONFIG} is damaged: it does not say how images reach the model; fetch it again") from error
    if not (
        0 < size <= _LARGEST_IMAGE
        and channels == len(mean) == len(std)
        and min(std, default=0) > 0
        and 0 < crop_pct <= 2
    ):
        raise InputError(f"{CONFIG} is damaged: images cannot reach the model as it says; fetch it again")
    return ModelInput(size, mean, std, crop_pct, interpolation)


def _refuse_other_files(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that would make timm read or download another file."""
    cfg = config["pretrained_cfg"]
    named = [f"pretrained_cfg.{key}" for key in _PATHS if cfg.get(key)]
    named += [f"model_args.{key}" for key in _NOT_FOR_MODELS & set(config["model_args"])]
    if named:
        raise InputError(f"{path} sets {sorted(named)[0]}, which no checkpoint may; do not use this one")


def _numbers(values: Any, kind: type) -> tuple:
    """Validate finite numbers; for `int`, whole ones."""
    found = tuple(values)
    if not all(isinstance(value, int | kind) and not isinstance(value, bool) for value in found):
        raise TypeError(f"{found} are no numbers")
    if not all(map(math.isfinite, found)):
        raise ValueError(f"{found} are not finite")
    return tuple(map(kind, found))
