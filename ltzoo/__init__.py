"""A model zoo for long-tailed image classification: a name gives code, recipe, weights and a figure to trust."""

from ltzoo.errors import InputError
from ltzoo.recipes import Recipe
from ltzoo.registry import create_model, get_recipe, list_models, list_recipes, register_recipe

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "Recipe",
    "__version__",
    "create_model",
    "get_recipe",
    "list_models",
    "list_recipes",
    "register_recipe",
]
