"""Registry of recipes: register, list and look up by name. The shipped recipes are registered on import."""

import difflib
import fnmatch
import re

from ltzoo.errors import InputError, shown
from ltzoo.recipes.parts import HEADS, FirstStage
from ltzoo.recipes.protocols import PROTOCOLS
from ltzoo.recipes.recipe import Recipe
from ltzoo.recipes.shipped import shipped_recipes

RECIPES: dict[str, Recipe] = {}
"""All registered recipes by name, in the order of their registration."""

_SEED = re.compile(r"\.seed\d+$")


def register_recipe(recipe: Recipe) -> None:
    """Register a recipe.

    Raises:
        InputError: the name is taken, or the recipe contradicts the protocol that it names.
    """
    if recipe.name in RECIPES:
        raise InputError(f"a recipe called {recipe.name!r} exists already; choose another name")
    protocol = PROTOCOLS.get(recipe.protocol)
    wrong = protocol.contradictions(recipe) if protocol else []
    if wrong:
        raise InputError(
            f"the recipe {recipe.name!r} contradicts its protocol {recipe.protocol} in {', '.join(wrong)}; "
            "give it a new protocol name"
        )
    if isinstance(recipe.start, FirstStage):
        _check_first_stage(recipe, recipe.start)
    RECIPES[recipe.name] = recipe


def _check_first_stage(recipe: Recipe, start: FirstStage) -> None:
    """Check that a second stage's first is registered before it, with the same network and images."""
    first = RECIPES.get(start.recipe)
    if first is None:
        raise InputError(f"{recipe.name!r} begins with {start.recipe!r}, which is not registered; register it first")
    other = [name for name in ("benchmark", "subset") if getattr(first, name) != getattr(recipe, name)]
    other += [] if network(first.architecture) == network(recipe.architecture) else ["architecture"]
    if other:
        raise InputError(f"{recipe.name!r} and its first stage {first.name!r} differ in {', '.join(other)}")


def network(architecture: str) -> str:
    """Return an architecture's name without its tag and classifier: `resnet50` for `resnet50_cosine`."""
    plain = architecture.split(".")[0]
    heads = (f"_{head.module}" for head in HEADS.values() if head.module != "linear")
    return plain.removesuffix(next((head for head in heads if plain.endswith(head)), ""))


def list_recipes(filter: str = "") -> list[str]:
    """List the names of recipes.

    Args:
        filter: a wildcard pattern such as `*cifar100lt*`; all recipes when empty.
    """
    return [name for name in RECIPES if not filter or fnmatch.fnmatchcase(name, filter)]


def get_recipe(name: str) -> Recipe:
    """Look up a recipe. A seed, as in `NAME.seed1`, is not part of the recipe and is ignored.

    Raises:
        InputError: no recipe has that name; the nearest names are listed.
    """
    plain = without_seed(name)
    if plain not in RECIPES:
        near = difflib.get_close_matches(plain, RECIPES, n=3, cutoff=0)
        raise InputError(f"no recipe is called {shown(plain)}; the nearest are {', '.join(near)}")
    return RECIPES[plain]


def without_seed(name: str) -> str:
    """Remove the seed from the name of a checkpoint: `NAME.seed1` becomes `NAME`."""
    return _SEED.sub("", name)


for _recipe in shipped_recipes():
    register_recipe(_recipe)
