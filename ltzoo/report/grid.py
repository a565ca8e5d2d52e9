"""Losses by perturbations: the accuracy of the recipes of one network, one table per benchmark."""

from collections.abc import Collection, Mapping, Sequence

from ltzoo.evaluate import markdown_table
from ltzoo.recipes import FirstStage, Recipe
from ltzoo.recipes.cost import passes_text
from ltzoo.report.model_results import ModelResults

_LONGER = "_long"
"""Ends the words of losses in a protocol with more epochs."""

_GROUPS = ("head", "mid", "tail")


def grid_tables(recipes: Sequence[Recipe], models: Mapping[str, ModelResults], protocols: Collection[str]) -> str:
    """Format a table per benchmark with a row per loss and a column per perturbation and length, as Markdown.

    A cell has overall accuracy (with the standard deviation over the seeds), that of head, mid and tail classes, and
    the number of seeds; it is blank for a recipe without a result. Second stages are not shown.

    Args:
        recipes: all recipes.
        models: all results by `Result.key`.
        protocols: the protocols whose recipes are shown.
    """
    by_benchmark: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        if recipe.protocol in protocols and not isinstance(recipe.start, FirstStage):
            by_benchmark.setdefault(recipe.benchmark, []).append(recipe)
    tables = [_table(members, models) for _, members in sorted(by_benchmark.items())]
    return "\n\n".join(tables)


def _table(recipes: Sequence[Recipe], models: Mapping[str, ModelResults]) -> str:
    first, by_place = recipes[0], {_place(recipe): recipe for recipe in recipes}
    losses = dict.fromkeys(loss for loss, _ in by_place)
    titles = {_place(recipe)[1]: f"`{_place(recipe)[1][0]}`, {passes_text(recipe)}" for recipe in recipes}
    rows = [[f"`{loss}`", *(_cell(by_place.get((loss, column)), models) for column in titles)] for loss in losses]
    table = markdown_table(["loss", *titles.values()], rows)
    return f"`{first.name.split('_')[0]}_{first.benchmark}`:\n\n{table}"


def _place(recipe: Recipe) -> tuple[str, tuple[str, int]]:
    """Return the word of the loss in a recipe's name; that of the perturbation, and the epochs."""
    *words, perturbation = recipe.name.split("_")
    return "_".join(words[2:]).removesuffix(_LONGER), (perturbation, recipe.schedule.epochs)


def _cell(recipe: Recipe | None, models: Mapping[str, ModelResults]) -> str:
    model = None if recipe is None else models.get(recipe.name)
    if model is None:
        return ""
    spreads = model.spreads()
    groups = " / ".join(f"{spreads[group].mean:.1f}" for group in _GROUPS if group in spreads)
    return f"{spreads['overall']} ({groups}), n = {len(model.results)}"
