"""Where training starts: weights of timm's, of a checkpoint, or of a file, in the place of fresh ones."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from huggingface_hub.errors import HTTPError
from timm.models import load_state_dict
from torch import Tensor, nn

from ltzoo import checkpoints
from ltzoo.checkpoints.config import read_view
from ltzoo.data import DataSet
from ltzoo.errors import InputError, first_line
from ltzoo.recipes import Pretrained, Recipe, Weights, model_arguments
from ltzoo.registry import find_checkpoint

_FILES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")


@dataclass(frozen=True)
class Initial:
    """Weights to start from, found but not read yet.

    Attributes:
        recipe: what is trained; its `start` says where they are.
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
    start = recipe.start
    if isinstance(start, Pretrained):
        try:
            cfg = timm.get_pretrained_cfg(recipe.architecture)
        except RuntimeError:  # no such tag
            cfg = None
        if cfg is None or not cfg.has_weights:
            tagged = timm.list_pretrained(f"{recipe.architecture.split('.')[0]}.*")
            raise InputError(
                f"timm has no pretrained weights of {recipe.architecture}; "
                f"{'it has ' + ', '.join(tagged[:5]) if tagged else 'timm.list_pretrained() names those it has'}"
            )
        return Initial(recipe, cfg.to_dict(), (), None)
    if not isinstance(start, Weights):
        return Initial(recipe, None, (), None)
    name = start.of
    if name.endswith(_FILES):
        if not Path(name).is_file():
            raise InputError(f"the weights {name} are not there; check the path")
        return Initial(recipe, None, (), None)
    folder = find_checkpoint(name)
    config = checkpoints.read_config(folder)
    if config["architecture"] != recipe.architecture.split(".")[0]:
        raise InputError(
            f"{name} holds a {config['architecture']}, not a {recipe.architecture}; add --arch {config['architecture']}"
        )
    if recipe.natural:
        read_view(config["pretrained_cfg"])
    names = config.get("label_names") or ()
    known = isinstance(names, list) and len(names) == config["num_classes"]
    if known and all(str(name).isdecimal() for name in names):
        # Numbers are nobody's names: other images of one's own can have the same.
        known = (config.get(checkpoints.RECIPE) or {}).get("benchmark") == recipe.benchmark != "imagefolder"
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
    recipe, start = initial.recipe, initial.recipe.start
    arguments = model_arguments(recipe, data_set)
    keeps_classifier = initial.class_names == data_set.class_names
    if isinstance(start, Pretrained):
        name, found = start.name, _timms(recipe, arguments)
    elif isinstance(start, Weights):
        name = start.of
        if start.head is not None:
            keeps_classifier = start.head == "kept"
        if keeps_classifier and initial.class_names != data_set.class_names:
            raise InputError(f"the classifier of {name} cannot be kept: it is of other classes; set start.head=fresh")
        found = (
            _read(Path(name)) if initial.folder is None else checkpoints.load_checkpoint(initial.folder).state_dict()
        )
    else:
        return None
    fresh = () if keeps_classifier else _classifier(model)
    own = model.state_dict()
    wanted, kept = (
        {key: value for key, value in weights.items() if not key.startswith(fresh)} for weights in (own, found)
    )
    if wanted.keys() == kept.keys() and _unlike(wanted, kept):
        kept = _resized(kept, recipe, arguments, data_set.num_classes if keeps_classifier else 0)
    wrong = sorted(wanted.keys() ^ kept.keys()) or _unlike(wanted, kept)
    if wrong:
        raise InputError(f"the weights of {name} do not fit {recipe.architecture}: {wrong[0]} differs")
    model.load_state_dict(own | kept)
    return _sha256(kept)


def _unlike(wanted: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> list[str]:
    """Name the weights that have another shape than is wanted."""
    return [key for key, value in wanted.items() if kept[key].shape != value.shape]


def _resized(
    weights: dict[str, Tensor], recipe: Recipe, arguments: Mapping[str, Any], num_classes: int
) -> dict[str, Tensor]:
    """Let timm bring weights for each place of an image, a ViT's, to another image size; as they were if it cannot."""
    source = {"source": "", "file": None, "state_dict": dict(weights), "label_offset": 0, "num_classes": num_classes}
    asked: dict[str, Any] = {**arguments, "num_classes": num_classes, "pretrained_cfg_overlay": source}
    try:
        return timm.create_model(recipe.architecture, pretrained=True, **asked).state_dict()
    except Exception:  # another architecture's weights can make it raise anything
        return weights


def _classifier(model: nn.Module) -> tuple[str, ...]:
    """Name what the keys of a timm model's classifier begin with."""
    names = cast(Any, model).pretrained_cfg["classifier"]
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _timms(recipe: Recipe, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        return timm.create_model(recipe.architecture, pretrained=True, **arguments).state_dict()
    except (OSError, RuntimeError, HTTPError) as error:
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
