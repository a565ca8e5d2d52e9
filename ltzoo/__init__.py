"""A model zoo for long-tailed image classification: a name gives code, recipe, weights and a figure to trust."""

from ltzoo.checkpoints import push_to_hub
from ltzoo.data import create_dataset, get_benchmark, list_benchmarks, make_groups
from ltzoo.errors import InputError
from ltzoo.evaluate import class_accuracy, group_accuracy
from ltzoo.losses import create_loss, register_loss
from ltzoo.recipes import Recipe
from ltzoo.registry import create_model, get_recipe, list_models, list_pretrained, list_recipes, register_recipe
from ltzoo.sharpness import register_perturbation

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "Recipe",
    "__version__",
    "class_accuracy",
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
