"""A checkpoint's `config.json`, read with distrust: it may come from anybody."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm

from ltzoo.errors import InputError
from ltzoo.hub.layout import CONFIG, MANIFEST
from ltzoo.hub.manifest import read_file, read_manifest
from ltzoo.recipes import Recipe, recipe_from_dict

RECIPE = "recipe"
"""The key of the recipe that a run followed."""

EPOCH = "epoch"
"""The key of how many epochs weights were trained that are not the last epoch's."""

WRITER = {"library_name": "ltzoo"}
"""What says that ltzoo wrote a configuration, and a manifest with it."""

_PATHS = ("file", "hf_hub_filename", "state_dict")
"""Keys of timm's `pretrained_cfg` by which a configuration could have another file read than the checkpoint's own."""

_NOT_FOR_MODELS = {
    name
    for function in (timm.create_model, timm.models.build_model_with_cfg)
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
} | {"features_only", "out_indices", "feature_cls"}
"""Arguments that timm keeps to itself; some of them name files and repositories."""

_TYPES = {"num_classes": int, "model_args": dict, "pretrained_cfg": dict}
_LAYERS = ("classifier", "first_conv")
_MOST_CLASSES = 2**24


def read_config(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's `config.json`.

    Raises:
        InputError: the folder or the file is missing, is no configuration of a model, or points outside the folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no checkpoint folder {folder}; check the path")
    if (folder / "checkpoint" / CONFIG).is_file():
        raise InputError(f"{folder} is a run folder; its checkpoint is {folder / 'checkpoint'}")
    path = folder / CONFIG
    try:
        config = json.loads(read_file(folder, CONFIG, megabytes=1))
    except InputError:
        raise
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path} is damaged; it holds no JSON") from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise InputError(f"{path} names no architecture; it is no checkpoint of timm or ltzoo")
    if not timm.is_model(config["architecture"]):
        raise InputError(f"{path} names an architecture unknown to timm: {config['architecture'][:80]!r}")
    if "pretrained_cfg" not in config:
        raise InputError(f"{path} has timm's old layout, without pretrained_cfg; load it with timm.create_model")
    config.setdefault("model_args", {})
    for key, kind in _TYPES.items():
        if not isinstance(config.get(key), kind):
            raise InputError(f"{path} is damaged: {key} is {str(config.get(key))[:80]!r}; fetch it again")
    if not 0 <= config["num_classes"] <= _MOST_CLASSES:
        raise InputError(f"{path} is damaged: num_classes is {config['num_classes']}; fetch it again")
    for key in _LAYERS:
        layers = config["pretrained_cfg"].get(key) or ""
        if not isinstance(layers, str) and not (isinstance(layers, list) and all(isinstance(k, str) for k in layers)):
            raise InputError(f"{path} is damaged: pretrained_cfg.{key} is {str(layers)[:80]!r}; fetch it again")
    # Without a recipe the configuration is somebody else's, who may mean anything by it.
    if RECIPE in config and not isinstance(config.get(EPOCH, 0), int):
        raise InputError(f"{path} is damaged: {EPOCH} is {str(config[EPOCH])[:80]!r}; fetch it again")
    if WRITER.items() <= config.items() and read_manifest(folder) is None:
        raise InputError(f"{folder / MANIFEST} is missing; a checkpoint of ltzoo has it")
    _refuse_other_files(path, config)
    return config


def read_recipe(folder: Path) -> Recipe:
    """Read which recipe a checkpoint's run followed.

    Raises:
        InputError: `config.json` cannot be read, names no recipe, or one that cannot be understood here.
    """
    recorded = read_config(folder).get(RECIPE)
    if not isinstance(recorded, dict):
        raise InputError(f"{folder / CONFIG} names no recipe, so its benchmark is unknown; train it with ltzoo")
    try:
        return recipe_from_dict(recorded)
    except InputError as error:
        raise InputError(
            f"{folder / CONFIG}: {error}; if the recipe holds a loss or perturbation of yours, add --import MODULE"
        ) from error


def _refuse_other_files(path: Path, config: Mapping[str, Any]) -> None:
    """See that nothing in a configuration would have timm read or fetch anything else."""
    cfg = config["pretrained_cfg"]
    named = [f"pretrained_cfg.{key}" for key in _PATHS if cfg.get(key)]
    named += [f"model_args.{key}" for key in _NOT_FOR_MODELS & set(config["model_args"])]
    if named:
        raise InputError(f"{path} sets {sorted(named)[0]}, which no checkpoint may; do not use this one")
