"""A model zoo for long-tailed image classification: a name gives code, recipe, weights and measured accuracy.

Public names are imported when they are first used, so that `ltzoo list` need not load timm, torchvision or the Hub's
client.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ltzoo.register_with_timm import register_with_timm
from ltzoo.versions import VERSION as __version__

if TYPE_CHECKING:
    from ltzoo.checkpoints import push_to_hub
    from ltzoo.data import get_benchmark, list_benchmarks, make_groups
    from ltzoo.data.dataset import create_dataset
    from ltzoo.errors import InputError
    from ltzoo.evaluate import class_accuracy, group_accuracy
    from ltzoo.losses import class_weights, create_loss, register_loss
    from ltzoo.recipes import Recipe, get_recipe, list_recipes, register_recipe
    from ltzoo.registry import create_model, list_models, list_pretrained
    from ltzoo.sharpness import register_perturbation

__all__ = [
    "InputError",
    "Recipe",
    "__version__",
    "class_accuracy",
    "class_weights",
    "create_dataset",
    "create_loss",
    "create_model",
    "get_benchmark",
    "get_recipe",
    "group_accuracy",
    "list_benchmarks",
    "list_models",
    "list_pretrained",
    "list_recipes",
    "make_groups",
    "push_to_hub",
    "register_loss",
    "register_perturbation",
    "register_recipe",
]

_HOMES = {
    "data": ("get_benchmark", "list_benchmarks", "make_groups"),
    "data.dataset": ("create_dataset",),
    "errors": ("InputError",),
    "evaluate": ("class_accuracy", "group_accuracy"),
    "checkpoints": ("push_to_hub",),
    "losses": ("class_weights", "create_loss", "register_loss"),
    "models": (),
    "recipes": ("Recipe", "get_recipe", "list_recipes", "register_recipe"),
    "registry": ("create_model", "list_models", "list_pretrained"),
    "sharpness": ("register_perturbation",),
}
"""Each submodule and the public names that it defines."""

_SUBMODULES = {*(home.split(".")[0] for home in _HOMES), "landscape", "report", "train"}

_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name or a submodule when it is first used (PEP 562)."""
    if name in _SUBMODULES:
        return importlib.import_module(f"ltzoo.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ltzoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ltzoo.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES})


register_with_timm()
