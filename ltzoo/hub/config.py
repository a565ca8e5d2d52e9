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

RECIPE = "recipe"
"""The key by which a configuration says that ltzoo wrote it."""

_PATHS = ("file", "hf_hub_filename", "state_dict")
"""Keys of timm's `pretrained_cfg` by which a configuration could have another file read than the checkpoint's own."""

_NOT_FOR_MODELS = {
    name
    for name, parameter in inspect.signature(timm.create_model).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
} - {"num_classes", "global_pool"}
"""Arguments that timm keeps to itself; some of them name files and repositories."""


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
    except (RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged; it holds no JSON") from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise InputError(f"{path} names no architecture; it is no checkpoint of timm or ltzoo")
    if not timm.is_model(config["architecture"]):
        raise InputError(f"{path} names an architecture unknown to timm: {config['architecture'][:80]!r}")
    for key, kind, absent in (("num_classes", int, None), ("model_args", dict, {}), ("pretrained_cfg", dict, None)):
        if not isinstance(config.get(key, absent), kind):
            raise InputError(f"{path} is damaged: {key} is {config.get(key)!r}; fetch it again")
    if RECIPE in config and read_manifest(folder) is None:
        raise InputError(f"{folder / MANIFEST} is missing; a checkpoint of ltzoo has it")
    _refuse_other_files(path, config)
    return config


def _refuse_other_files(path: Path, config: Mapping[str, Any]) -> None:
    """See that nothing in a configuration would have timm read or fetch anything else."""
    cfg = config["pretrained_cfg"]
    named = [f"pretrained_cfg.{key}" for key in _PATHS if cfg.get(key)]
    named += [f"model_args.{key}" for key in _NOT_FOR_MODELS & set(config.get("model_args", {}))]
    if named:
        raise InputError(f"{path} names another place to load from ({sorted(named)[0]}); do not use this checkpoint")
