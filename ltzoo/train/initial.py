"""Where training starts: weights of timm's, of a checkpoint, or of a file, in the place of fresh ones."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from timm.models import load_state_dict
from torch import Tensor, nn

from ltzoo import hub
from ltzoo.data import DataSet
from ltzoo.errors import InputError, first_line
from ltzoo.recipes import Recipe, model_arguments
from ltzoo.registry import find_checkpoint

PRETRAINED = "pretrained"
"""Stands in `Recipe.initial` for timm's own weights of the architecture."""

_FILES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Initial:
    """Weights to start from, found but not read yet.

    Attributes:
        recipe: what is trained; its `initial` says where they are.
        cfg: timm's description of how the model sees images; None where nothing says.
        class_names: the classes of a checkpoint; empty where they are other ones or unknown.
        folder: the checkpoint's; None where it is none.
    """

    recipe: Recipe
    cfg: Mapping[str, Any] | None
    class_names: tuple[str, ...]
    folder: Path | None


def find_initial(recipe: Recipe) -> Initial:
    """Find the weights that a recipe starts from.

    Raises:
        InputError: there are none of that name, or they are of another architecture.
    """
    name = recipe.initial
    if name is None or name.endswith(_FILES):
        if name is not None and not Path(name).is_file():
            raise InputError(f"the weights {name} are not there; check the path")
        return Initial(recipe, None, (), None)
    if name == PRETRAINED:
        cfg = timm.get_pretrained_cfg(recipe.architecture, allow_unregistered=False)
        if cfg is None or not cfg.has_weights:
            tagged = timm.list_pretrained(f"{recipe.architecture.split('.')[0]}.*")
            raise InputError(
                f"timm has no pretrained weights of {recipe.architecture}; "
                f"{'it has ' + ', '.join(tagged[:5]) if tagged else 'timm.list_pretrained() names those it has'}"
            )
        return Initial(recipe, cfg.to_dict(), (), None)
    folder = find_checkpoint(name)
    config = hub.read_config(folder)
    if config["architecture"] != recipe.architecture.split(".")[0]:
        raise InputError(
            f"{name} holds a {config['architecture']}, not a {recipe.architecture}; add --arch {config['architecture']}"
        )
    names = config.get("label_names") or ()
    known = isinstance(names, list) and len(names) == config["num_classes"]
    return Initial(recipe, config["pretrained_cfg"], tuple(map(str, names)) if known else (), folder)


def load_initial(model: nn.Module, initial: Initial, data_set: DataSet) -> str | None:
    """Put the weights into a model. The classifier stays fresh, unless a checkpoint has the very same classes.

    Args:
        model: the recipe's model, fresh.
        initial: what `find_initial` found.
        data_set: what the model is to see.

    Returns:
        The SHA-256 of the weights; None where the model stays fresh.

    Raises:
        InputError: they cannot be had, or do not fit.
    """
    recipe, name = initial.recipe, initial.recipe.initial
    if name is None:
        return None
    arguments = model_arguments(recipe, data_set)
    keeps_classifier = initial.class_names == data_set.class_names
    if initial.folder is not None:
        weights = hub.load_checkpoint(initial.folder, num_classes=None if keeps_classifier else 0, **_sized(arguments))
        found = weights.state_dict()
    elif name == PRETRAINED:
        found = _timms(recipe, arguments)
    else:
        found = _read(Path(name))
    fresh = () if keeps_classifier else _classifier(model)
    own = model.state_dict()
    kept = {key: value for key, value in found.items() if not key.startswith(fresh)}
    wanted = {key for key in own if not key.startswith(fresh)}
    wrong = sorted(wanted ^ set(kept)) or [key for key in wanted if kept[key].shape != own[key].shape]
    if wrong:
        raise InputError(f"the weights of {name} do not fit {recipe.architecture}: {wrong[0]} differs")
    model.load_state_dict(own | kept)
    return _sha256(kept)


def _sized(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what changes a model's places; a checkpoint knows the rest itself."""
    return {key: value for key, value in arguments.items() if key == "img_size"}


def _classifier(model: nn.Module) -> tuple[str, ...]:
    """Name what the keys of a timm model's classifier begin with."""
    names = cast(Any, model).pretrained_cfg["classifier"]
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _timms(recipe: Recipe, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        return timm.create_model(recipe.architecture, pretrained=True, num_classes=0, **arguments).state_dict()
    except (OSError, RuntimeError, HfHubHTTPError) as error:
        raise InputError(
            f"timm's weights of {recipe.architecture} cannot be fetched or do not fit ({first_line(error)[:160]}); "
            "see that the network can be reached, or name a file with --initial-checkpoint"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    """Read a file of weights, as timm does; nothing but tensors is unpickled."""
    try:
        return dict(load_state_dict(str(path), weights_only=True))
    except Exception as error:  # the unpickler raises whatever a damaged file makes it
        raise InputError(f"{path} holds no weights that can be read ({first_line(error)[:120]})") from error


def _sha256(weights: Mapping[str, Tensor]) -> str:
    """Hash tensors by name and value."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().cpu().contiguous()
        digest.update(json.dumps([key, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
