"""Names: what a recipe is called, and the model that a name stands for."""

import difflib
import fnmatch
import re
from pathlib import Path
from typing import Any

from torch import nn

from ltzoo import checkpoints
from ltzoo.errors import InputError
from ltzoo.recipes import PROTOCOLS, Recipe, build_model, shipped_recipes

_RECIPES: dict[str, Recipe] = {}
_SEED = re.compile(r"\.seed\d+$")


def register_recipe(recipe: Recipe) -> None:
    """Add a recipe to the registry.

    Raises:
        InputError: the name is taken, or the recipe contradicts the protocol that it names.
    """
    if recipe.name in _RECIPES:
        raise InputError(f"a recipe called {recipe.name!r} exists already; choose another name")
    protocol = PROTOCOLS.get(recipe.protocol)
    wrong = protocol.contradictions(recipe) if protocol else []
    if wrong:
        raise InputError(
            f"the recipe {recipe.name!r} contradicts its protocol {recipe.protocol} in {', '.join(wrong)}; "
            "give it a protocol name of its own"
        )
    _RECIPES[recipe.name] = recipe


def list_recipes(filter: str = "") -> list[str]:
    """List the recipes' names.

    Args:
        filter: a wildcard pattern such as `*cifar100lt*`; everything when empty.
    """
    return [name for name in _RECIPES if not filter or fnmatch.fnmatchcase(name, filter)]


def get_recipe(name: str) -> Recipe:
    """Look a recipe up. A seed, as in `NAME.seed1`, is no part of the recipe and is passed over.

    Raises:
        InputError: no recipe has that name; the nearest are named.
    """
    plain = _SEED.sub("", name)
    if plain not in _RECIPES:
        near = difflib.get_close_matches(plain, _RECIPES, n=3, cutoff=0)
        raise InputError(f"no recipe is called {plain!r}; the nearest are {', '.join(near)}")
    return _RECIPES[plain]


def find_checkpoint(name: str, hub: str | None = None, whole: bool = False) -> Path:
    """Find the folder of a checkpoint, fetching it from the Hub where need be.

    Args:
        name: a recipe's name, `hf-hub:user/repo[@revision]` or `local-dir:path`.
        hub: for a recipe's name, where to look first: a folder, or a Hub user or organisation.
        whole: from the Hub, fetch all its files, not only those that a model is loaded from.

    Raises:
        InputError: there is no such recipe or checkpoint.
    """
    scheme, _, rest = name.partition(":")
    if scheme == "local-dir":
        return Path(rest)
    if scheme == "hf-hub":
        repository, _, revision = rest.partition("@")
        return checkpoints.fetch(repository, revision or None, whole)
    if "/" in name:
        raise InputError(f"{name!r} is no recipe's name; write local-dir:{name} or hf-hub:{name}")
    get_recipe(name)
    return checkpoints.find_checkpoint(name, hub, whole)


def create_model(
    name: str, pretrained: bool = False, *, num_classes: int | None = None, hub: str | None = None, **kwargs: Any
) -> nn.Module:
    """Create the model that a name stands for: a timm model in every respect.

    Args:
        name: a recipe's name, `hf-hub:user/repo[@revision]` or `local-dir:path`.
        pretrained: load trained weights.
        num_classes: number of classes; with another than the checkpoint's, the classifier is fresh.
        hub: where to look first for a recipe's checkpoint: a folder, or a Hub user or organisation. Then come the
            variable LTZOO_HUB, the checkpoints that come with the package, and the Hub organisation `ltzoo`.
        **kwargs: for `timm.create_model`.

    Raises:
        InputError: the name is unknown, or its checkpoint is missing or unsound.
    """
    if not pretrained and ":" not in name:
        return build_model(get_recipe(name), num_classes, **kwargs)
    return checkpoints.load_checkpoint(find_checkpoint(name, hub), pretrained, num_classes, **kwargs)


def list_models(filter: str = "", pretrained: bool = False, *, hub: str | None = None) -> list[str]:
    """List names that `create_model` takes.

    Args:
        filter: a wildcard pattern such as `*cifar100lt*`; everything when empty.
        pretrained: only names with trained weights; `list_pretrained` says where they would come from.
        hub: where to look for those first, as in `create_model`.
    """
    return list(list_pretrained(filter, hub=hub)) if pretrained else list_recipes(filter)


def list_pretrained(filter: str = "", *, hub: str | None = None) -> dict[str, str]:
    """List the names that have trained weights: name to where `create_model` would take them from.

    Args:
        filter: a wildcard pattern such as `*cifar100lt*`; everything when empty.
        hub: where to look first: a folder, or a Hub user or organisation.

    Returns:
        Names in alphabetical order, each with a folder, or the `hf-hub:ORG/NAME` of a repository.
    """
    found = checkpoints.list_checkpoints(hub)
    return {
        name: found[name]
        for name in sorted(found)
        if _SEED.sub("", name) in _RECIPES and (not filter or fnmatch.fnmatchcase(name, filter))
    }


for _recipe in shipped_recipes():
    register_recipe(_recipe)
