"""Two-stage methods in reports: which results are those of a second stage, and which first stage they stand under."""

from collections.abc import Mapping, Sequence
from typing import Any

from ltzoo.checkpoints.pretraining import BEGAN_WITH
from ltzoo.recipes import FirstStage, Fresh, Recipe
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report.model_results import ModelResults
from ltzoo.report.result import Result


def first_stage(recipe: Recipe | None) -> str | None:
    """Return the name of the recipe whose weights a second stage starts from; None for any other recipe."""
    return recipe.start.recipe if recipe is not None and isinstance(recipe.start, FirstStage) else None


def is_pretrained(recipe: Recipe | None, run: Mapping[str, Any] | None = None) -> bool:
    """Return whether a recipe begins with weights that were trained on other images, or its first stage does.

    Such results are compared with each other alone. What an external model began with is not known.

    Args:
        recipe: the recipe; None for an external model.
        run: `Result.run`; of a second stage it says whether the first stage began otherwise than is registered.
    """
    if (run or {}).get(BEGAN_WITH):
        return True
    if recipe is None or isinstance(recipe.start, Fresh):
        return False
    if not isinstance(recipe.start, FirstStage):
        return True
    return recipe.start.recipe in list_recipes() and is_pretrained(get_recipe(recipe.start.recipe))


def fresh_and_pretrained(models: Sequence[ModelResults]) -> tuple[list[ModelResults], list[ModelResults]]:
    """Divide models, in their order, into those from fresh weights and those from pretrained ones."""
    pretrained = [model for model in models if is_pretrained(model.results[0].recipe, model.results[0].run)]
    return [model for model in models if model not in pretrained], pretrained


def start_seed(result: Result) -> int | None:
    """Return the seed of the first stage that a run started from; None for a run that is no second stage."""
    seed: int | None = result.run.get("start_seed", result.seed)
    return seed if first_stage(result.recipe) else None


def under_first_stages(models: Sequence[ModelResults]) -> list[ModelResults]:
    """Put second stages below their first; the order stays otherwise, also that of second stages without a first.

    Args:
        models: at most one of each name.
    """
    names = {model.name for model in models}
    below: dict[str | None, list[ModelResults]] = {}
    for model in models:
        first = first_stage(model.results[0].recipe)
        below.setdefault(first if first in names else None, []).append(model)

    def with_those_below(model: ModelResults) -> list[ModelResults]:
        return [model, *(each for second in below.get(model.name, []) for each in with_those_below(second))]

    return [each for model in below.get(None, []) for each in with_those_below(model)]


def runs_text(model: ModelResults) -> str:
    """Format the number of runs; where seeds are those of second stages on another seed's first stage, say which.

    The deviation of such runs lacks that of the first stage; that of a computed head is then zero.
    """
    runs = str(len(model.results))
    starts = [start_seed(result) for result in model.results]
    if starts == [result.seed for result in model.results] or starts[0] is None:
        return runs
    seeds = [str(seed) for seed in dict.fromkeys(starts)]
    recipe = model.results[0].recipe
    trained = "classifier" if recipe is not None and recipe.trainable.weights == "head" else "run"
    trained += "" if len(starts) == 1 else "s"
    return f"{runs} ({trained} on first-stage seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)})"


def stage_minutes(model: ModelResults, models: Mapping[str, ModelResults]) -> str:
    """Format the minutes of a run, training and evaluation; of a second stage `own + first stage's`, where known.

    Args:
        model: the results.
        models: all results by `Result.key`; the first stage's minutes are the mean of its runs.
    """
    if model.results[0].recipe is None:
        return ""
    own = _minutes_text(model.minutes)
    first = models.get(first_stage(model.results[0].recipe) or "")
    return own if first is None else f"{own} + {_minutes_text(first.minutes)}".strip()


def _minutes_text(minutes: float) -> str:
    """Format minutes, with a decimal below ten; blank if no time was recorded, as of a head that is computed."""
    return "" if minutes == 0 else f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"
