"""Recipes: records of all settings of a training run, composed from protocols, with the papers' tables as data.

`ltzoo.recipes.model`, which builds a recipe's model, is not imported here because it loads timm.
"""

from ltzoo.recipes.citations import CITATIONS
from ltzoo.recipes.compose import compose, compose_second_stage
from ltzoo.recipes.document import (
    differences,
    override,
    parse_setting,
    read_recipe,
    recipe_from_dict,
    recipe_to_dict,
    to_yaml,
)
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import (
    CosineExpertsHead,
    CosineHead,
    DisAlignHead,
    FirstStage,
    Fresh,
    Head,
    Input,
    LinearHead,
    NearestMeanHead,
    Pretrained,
    ScaledCosineHead,
    ScaledHead,
    Start,
    TauNormHead,
    Trainable,
    Weights,
)
from ltzoo.recipes.protocols import PROTOCOLS, Protocol
from ltzoo.recipes.recipe import Accuracy, PaperRule, Published, Recipe, Source
from ltzoo.recipes.registry import get_recipe, list_recipes, register_recipe
from ltzoo.recipes.shipped import shipped_recipes

__all__ = [
    "CITATIONS",
    "PROTOCOLS",
    "Accuracy",
    "CosineExpertsHead",
    "CosineHead",
    "DisAlignHead",
    "FirstStage",
    "Fresh",
    "Head",
    "Input",
    "LinearHead",
    "NearestMeanHead",
    "Optimizer",
    "PaperRule",
    "Pretrained",
    "Protocol",
    "Published",
    "Recipe",
    "ScaledCosineHead",
    "ScaledHead",
    "Schedule",
    "Source",
    "Start",
    "TauNormHead",
    "Trainable",
    "Weights",
    "compose",
    "compose_second_stage",
    "differences",
    "get_recipe",
    "list_recipes",
    "override",
    "parse_setting",
    "read_recipe",
    "recipe_from_dict",
    "recipe_to_dict",
    "register_recipe",
    "shipped_recipes",
    "to_yaml",
]
