"""Models by name: a recipe's, or those of a checkpoint in a folder or on the Hub.

The rooms that load timm and the Hub's client are imported when a model or checkpoint is asked for, so that listing
recipes and refusing a wrong name stay fast.
"""

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltzoo.errors import InputError
from ltzoo.recipes.registry import get_recipe, list_recipes, register_recipe, without_seed

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "create_model",
    "find_checkpoint",
    "get_recipe",
    "list_models",
    "list_pretrained",
    "list_recipes",
    "register_recipe",
]


def find_checkpoint(name: str, hub: str | None = None, whole: bool = False) -> Path:
    """Find the folder of a checkpoint, and fetch it from the Hub if it is there.

    Args:
        name: a recipe's name, `hf-hub:user/repo[@revision]` or `local-dir:path`.
        hub: for a recipe's name, where to look first: a folder, or a Hub user or organisation.
        whole: from the Hub, fetch all files, not only those that a model is loaded from.

    Raises:
        InputError: there is no such recipe or checkpoint.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        return Path(rest)
    if scheme == "hf-hub":
        from ltzoo import checkpoints as checkpoints

        repository, _, revision = rest.partition("@")
        return checkpoints.fetch(repository, revision or None, whole)
    if "/" in name:
        raise InputError(f"{name!r} is no recipe's name; write local-dir:{name} or hf-hub:{name}")
    if name and Path(name).is_dir() and without_seed(name) not in list_recipes():
        raise InputError(f"{name!r} is a folder and no recipe's name; write local-dir:{name}")
    get_recipe(name)
    from ltzoo import checkpoints as checkpoints

    return checkpoints.find_checkpoint(name, hub, whole)


def create_model(
    name: str, pretrained: bool = False, *, num_classes: int | None = None, hub: str | None = None, **kwargs: Any
) -> "nn.Module":
    """Create the model that a name stands for: a timm model in every respect.

    Args:
        name: a recipe's name, `hf-hub:user/repo[@revision]` or `local-dir:path`.
        pretrained: load trained weights.
        num_classes: number of classes; if it differs from the checkpoint's, the classifier has fresh weights.
        hub: where to look first for a recipe's checkpoint: a folder, or a Hub user or organisation. Then follow the
            variable LTZOO_HUB, the checkpoints that come with the package, and the Hub organisation `ltzoo`.
        **kwargs: for `timm.create_model`.

    Raises:
        InputError: the name is unknown, or its checkpoint is missing or damaged.
    """
    if not pretrained and ":" not in name:
        recipe = get_recipe(name)
        from ltzoo.recipes.model import build_model

        return build_model(recipe, num_classes, **kwargs)
    folder = find_checkpoint(name, hub)
    from ltzoo import checkpoints as checkpoints

    return checkpoints.load_checkpoint(folder, pretrained, num_classes, **kwargs)


def list_models(filter: str = "", pretrained: bool = False, *, hub: str | None = None) -> list[str]:
    """List names that `create_model` accepts.

    Args:
        filter: a wildcard pattern such as `*cifar100lt*`; all names when empty.
        pretrained: only names with trained weights; `list_pretrained` also says where they come from.
        hub: where to look first for trained weights, as in `create_model`.
    """
    return list(list_pretrained(filter, hub=hub)) if pretrained else list_recipes(filter)


def list_pretrained(filter: str = "", *, hub: str | None = None) -> dict[str, str]:
    """List the names that have trained weights, and where `create_model` would take them from.

    Args:
        filter: a wildcard pattern such as `*cifar100lt*`; all names when empty.
        hub: where to look first: a folder, or a Hub user or organisation.

    Returns:
        Names in alphabetical order, each with a folder, or the `hf-hub:ORG/NAME` of a repository.
    """
    from ltzoo import checkpoints as checkpoints

    found, recipes = checkpoints.list_checkpoints(hub), set(list_recipes())
    return {
        name: found[name]
        for name in sorted(found)
        if without_seed(name) in recipes and (not filter or fnmatch.fnmatchcase(name, filter))
    }
