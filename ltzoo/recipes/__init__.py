"""Recipes: protocols and the papers' tables as data, and the names composed of them."""

from ltzoo.recipes.citations import CITATIONS
from ltzoo.recipes.compose import compose, shipped_recipes
from ltzoo.recipes.document import (
    differences,
    override,
    parse_setting,
    read_recipe,
    recipe_from_dict,
    recipe_to_dict,
    to_yaml,
)
from ltzoo.recipes.model import build_model, model_arguments
from ltzoo.recipes.recipe import Accuracy, Optimizer, Published, Recipe, Schedule, Source

__all__ = [
    "CITATIONS",
    "Accuracy",
    "Optimizer",
    "Published",
    "Recipe",
    "Schedule",
    "Source",
    "build_model",
    "compose",
    "differences",
    "model_arguments",
    "override",
    "parse_setting",
    "read_recipe",
    "recipe_from_dict",
    "recipe_to_dict",
    "shipped_recipes",
    "to_yaml",
]
