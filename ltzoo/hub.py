"""Checkpoints: folders in the layout of a Hub repository, written, found, fetched and loaded."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import save_for_hf
from torch import Tensor, nn

from ltzoo.errors import InputError

CONFIG, WEIGHTS, METRICS = "config.json", "model.safetensors", "metrics.json"
ORGANISATION = "ltzoo"
"""The Hub organisation that is asked last."""

_ROOT = Path(__file__).parent.parent
PACKAGED = (Path(__file__).parent / "zoo", *([_ROOT / "hub" / "zoo"] if (_ROOT / "pyproject.toml").is_file() else []))
"""Checkpoints that come with the package: in the wheel, in a checkout."""


class NotOnHubError(InputError):
    """A repository that the Hub does not have, or does not show."""


def save_checkpoint(
    folder: Path, model: nn.Module, model_arguments: Mapping[str, Any], description: Mapping[str, Any]
) -> None:
    """Write a model as `model.safetensors` and `config.json`, replacing the folder as a whole.

    Args:
        folder: where to write.
        model: a timm model.
        model_arguments: what `timm.create_model` must be told to build it, beside the number of classes.
        description: what stands at the top level of `config.json` beside timm's own keys.
    """
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    save_for_hf(model, str(fresh), dict(description), dict(model_arguments), safe_serialization=True)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's `config.json`.

    Raises:
        InputError: the folder or the file is missing or is no configuration of a model.
    """
    if not folder.is_dir():
        raise InputError(f"there is no checkpoint folder {folder}; check the path")
    if (folder / "checkpoint" / CONFIG).is_file():
        raise InputError(f"{folder} is a run folder; its checkpoint is {folder / 'checkpoint'}")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / CONFIG} is missing or damaged; a checkpoint folder has it") from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise InputError(f"{folder / CONFIG} names no architecture; it is no checkpoint of timm or ltzoo")
    if not timm.is_model(config["architecture"]):
        raise InputError(f"{folder / CONFIG} names an architecture unknown to timm: {config['architecture']!r}")
    for key, kind, absent in (("num_classes", int, None), ("model_args", dict, {}), ("pretrained_cfg", dict, None)):
        if not isinstance(config.get(key, absent), kind):
            raise InputError(f"{folder / CONFIG} is damaged: {key} is {config.get(key)!r}; fetch it again")
    return config


def load_checkpoint(folder: Path, pretrained: bool = True, num_classes: int | None = None, **kwargs: Any) -> nn.Module:
    """Build the model that a checkpoint describes and load its weights.

    timm loads another number of classes without asking whether the other keys are there, so that is checked first.

    Args:
        folder: the checkpoint.
        pretrained: load the weights.
        num_classes: a new classifier for so many classes; every other weight is loaded.
        **kwargs: for `timm.create_model`.

    Raises:
        InputError: a file is missing or damaged, or the weights are not those of the architecture.
    """
    config = read_config(folder)
    described = _described(folder, config)
    if pretrained:
        _check_weights(folder, config["architecture"], described)
    classes: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    return timm.create_model(f"local-dir:{folder}", pretrained=pretrained, **classes, **kwargs)


def _described(folder: Path, config: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Name the weights of the model that a configuration describes, without memory for them."""
    arguments = config.get("model_args", {}) | {key: config[key] for key in ("num_classes", "pretrained_cfg")}
    try:
        with torch.device("meta"):
            return timm.create_model(config["architecture"], **arguments).state_dict()
    except (TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder / CONFIG} describes no model that timm can build: {reason}") from error


def _check_weights(folder: Path, architecture: str, wanted: Mapping[str, Tensor]) -> None:
    """Hold names and shapes of the stored weights against those of the model."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{path} is missing; only safetensors are loaded")
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged ({error}); fetch it again") from error
    shapes = {key: tuple(value.shape) for key, value in stored.items()}
    for key, value in wanted.items():
        if shapes.get(key) != tuple(value.shape):
            found = shapes.get(key, "missing")
            raise InputError(f"{path} does not fit {architecture}: {key} is {found}, not {tuple(value.shape)}")
    extra = sorted(set(stored) - set(wanted))
    if extra:
        raise InputError(f"{path} does not fit {architecture}: it has no parameter {extra[0]}")


def fetch(repository: str, revision: str | None = None) -> Path:
    """Fetch a Hub repository into the cache, or find it there.

    Args:
        repository: `ORG/NAME`.
        revision: branch, tag or commit.

    Raises:
        InputError: it does not exist, may not be read, or cannot be reached and is not cached.
    """
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS, METRICS]))
    except RepositoryNotFoundError as error:
        raise NotOnHubError(f"{repository} is not on the Hub, or is private and the token is missing") from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{repository} cannot be had from the Hub: {reason}") from error


def find_checkpoint(name: str, hub: str | None = None) -> Path:
    """Find the checkpoint of a name, in the order that `places` gives.

    A folder that lacks the name is passed over, and so is the Hub, which is asked where no folder stands.

    Args:
        name: a recipe's name, or one with a seed (`NAME.seed1`).
        hub: a folder, or a Hub user or organisation.

    Raises:
        InputError: no place has it; each is named.
    """
    tried = []
    for place in places(hub):
        if isinstance(place, Path):
            if (place / name / CONFIG).is_file():
                return place / name
            tried.append(str(place))
            continue
        try:
            return fetch(f"{place}/{name}")
        except NotOnHubError as error:
            tried.append(str(error))
        except InputError as error:
            # The place may have the name; another place's weights in its stead would be the wrong ones.
            tried.append(str(error))
            break
    raise InputError(
        f"no checkpoint of {name}: tried {'; '.join(tried)}; train it and use local-dir:OUTPUT/{name}/seed0/checkpoint"
    )


def places(hub: str | None = None) -> list[Path | str]:
    """List where checkpoints are looked for: folders as paths, Hub users and organisations as text.

    `hub`, the variable LTZOO_HUB, what comes with the package, the organisation `ltzoo`.
    """
    named = [Path(place) if Path(place).is_dir() else place for place in (hub, os.environ.get("LTZOO_HUB")) if place]
    return [*named, *(folder for folder in PACKAGED if folder.is_dir()), ORGANISATION]
