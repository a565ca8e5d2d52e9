"""The tables of docs/rebalancing.md: the second stages of each first stage; and what README.md may say of them."""

from collections.abc import Mapping, Sequence

from ltzoo.checkpoints import COLUMN_TITLES
from ltzoo.evaluate import markdown_table, spread
from ltzoo.recipes import Recipe, TauNormHead
from ltzoo.recipes.cost import passes_text
from ltzoo.report.model_results import COLUMNS, ModelResults
from ltzoo.report.stages import first_stage, runs_text, stage_minutes, start_seed

_TITLES = {
    "taunorm": "tau-norm",
    "ncm": "nearest class mean",
    "crt": "cRT",
    "lws": "LWS",
    "disalign": "DisAlign",
    "bsrt": "balanced-softmax re-training",
    "mislas": "MiSLAS",
}
"""Names of the methods by what stands in a recipe's name."""


def rebalancing_tables(models: Mapping[str, ModelResults]) -> str:
    """Format a table for each first stage that has results of second stages, as Markdown.

    The first stage is the top row; its second stages follow, the most accurate first, with their difference in overall
    accuracy from the run that each started from.

    Args:
        models: all results by `Result.key`.
    """
    below: dict[str, list[ModelResults]] = {}
    for model in models.values():
        first = first_stage(model.results[0].recipe)
        if first is not None:
            below.setdefault(first, []).append(model)
    in_order = sorted(below.items(), key=lambda item: (item[1][0].results[0].benchmark, item[0]))
    return "\n\n".join(_table(name, members, models) for name, members in in_order) or (
        "No second stage has been trained here yet."
    )


def _table(name: str, members: Sequence[ModelResults], models: Mapping[str, ModelResults]) -> str:
    first = models.get(name)
    result = (first or members[0]).results[0]  # the groups of all rows are its own
    rows = [] if first is None else [_row("the first stage alone", first, "", models, result.groups)]
    in_order = sorted(members, key=lambda model: (-model.spreads()["overall"].mean, model.name))
    rows += [_row(_title(model.name), model, _gained(model, first), models, result.groups) for model in in_order]
    titles = ["method", *COLUMN_TITLES.values(), "gained overall", "n", "passes x epochs", "minutes"]
    return f"`{name}` on {result.benchmark}, groups by `{result.groups}`:\n\n{markdown_table(titles, rows)}"


def _row(title: str, model: ModelResults, gained: str, models: Mapping[str, ModelResults], groups: str) -> list[str]:
    spreads, recipe = model.spreads(groups=groups), model.results[0].recipe
    assert recipe is not None  # neither a first nor a second stage is an external model
    accuracies = [str(spreads[column]) if column in spreads else "" for column in COLUMNS]
    return [title, *accuracies, gained, runs_text(model), passes_text(recipe), stage_minutes(model, models)]


def _title(name: str) -> str:
    return next((f"{title} (`{part}`)" for part, title in _TITLES.items() if part in name.split("_")), f"`{name}`")


def _gained(model: ModelResults, first: ModelResults | None) -> str:
    """Format the difference of each run from the first-stage run that it started from: mean and deviation."""
    before = {result.seed: result.figures["last"].overall for result in first.results} if first else {}
    gained = [
        result.figures["last"].overall - before[start_seed(result)]
        for result in model.results
        if start_seed(result) in before
    ]
    if not gained:
        return ""
    found = spread(gained)
    return f"{found.mean:+.1f}" if found.std is None else f"{found.mean:+.1f} ± {found.std:.1f}"


def tau_norm_sentence(recipes: Sequence[Recipe], models: Mapping[str, ModelResults]) -> str:
    """Say how CE with tau-norm compares with the losses for long tails on the same network and benchmark.

    Losses are compared by our figures, or else by published ones, with the perturbation of the first stage. Of several
    benchmarks, the one with the most training images is named.

    Args:
        recipes: all recipes.
        models: all results by `Result.key`.

    Returns:
        The sentence; empty where tau-norm was not measured, nothing is there to compare, or it is below all of them.
    """
    by_name, found = {recipe.name: recipe for recipe in recipes}, []
    for model in models.values():
        recipe = model.results[0].recipe
        name = first_stage(recipe)
        first, before = by_name.get(name or ""), models.get(name or "")
        if recipe is None or not isinstance(recipe.head, TauNormHead) or first is None or before is None:
            continue
        figures = [
            figure for other in recipes if _rival(first, other) and (figure := _overall(other, models)) is not None
        ]
        after = model.spreads(groups=before.results[0].groups)
        if figures and round(after["overall"].mean, 1) >= round(min(figures), 1):
            figures = sorted(figures)
            images = sum(model.results[0].resolved_benchmark.class_counts)
            compared = f"{figures[0]:.1f}" if len(figures) == 1 else f"{figures[0]:.1f} to {figures[-1]:.1f}"
            sentence = (
                f"On {recipe.benchmark}, {recipe.architecture} with plain cross-entropy, re-balanced by tau-norm "
                f"without any training, reaches {_both(after)} (n = {len(model.results)}; before: "
                f"{_both(before.spreads())}); losses and re-weighting made for long tails reach {compared} overall "
                "with the same network and optimizer (our figures, or else the published ones): "
                "[docs/rebalancing.md](docs/rebalancing.md)."
            )
            found.append((images, sentence))
    return max(found)[1] if found else ""


def _rival(first: Recipe, other: Recipe) -> bool:
    """Whether a recipe differs from a first stage in loss or re-weighting alone, and both train all weights."""
    same = ("architecture", "benchmark", "protocol", "perturbation", "trainable", "start", "views")
    alike = all(getattr(first, field) == getattr(other, field) for field in same)
    return alike and (first.loss, first.reweighting) != (other.loss, other.reweighting)


def _overall(recipe: Recipe, models: Mapping[str, ModelResults]) -> float | None:
    if recipe.name in models:
        return models[recipe.name].spreads()["overall"].mean
    return next((figure.mean.overall for figure in recipe.published if figure.mean.overall is not None), None)


def _both(spreads: Mapping[str, object]) -> str:
    return f"{spreads['overall']} overall and {spreads['tail']} in the tail"
