"""The leaderboard: one HTML file that contains its data, so it needs neither a server nor a network."""

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltzoo.data import Benchmark, all_groups, get_benchmark
from ltzoo.recipes import Head, Published, Recipe
from ltzoo.recipes.cost import passes_text
from ltzoo.recipes.model import count_parameters
from ltzoo.report.model_results import COLUMNS, ModelResults, device_minutes
from ltzoo.report.paper_tables import limit
from ltzoo.report.result import RULES, Result
from ltzoo.report.stages import first_stage, is_pretrained, start_seed

_TEMPLATE = Path(__file__).with_name("leaderboard.html")
_PLACEHOLDER = re.compile(r"\{\{(title|data)\}\}")


def leaderboard_page(document: Mapping[str, Any]) -> str:
    """Build the page.

    Args:
        document: what `leaderboard_data` returns.

    Returns:
        The HTML. Equal documents give equal pages.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    # A browser reads `<!--`, `<script` and `</script` even in JSON. All non-ASCII, such as U+2028, is escaped.
    data = json.dumps(document, separators=(",", ":"), sort_keys=False, allow_nan=False).replace("<", "\\u003c")
    values = {"title": html.escape(str(document["title"])), "data": data}
    return _PLACEHOLDER.sub(lambda found: values[found[1]], _TEMPLATE.read_text(encoding="utf-8"))


def leaderboard_data(
    recipes: Sequence[Recipe], models: Mapping[str, ModelResults], notes: Mapping[str, str]
) -> dict[str, Any]:
    """Collect all results, and the published figures that have no results yet.

    The class counts of a benchmark of image files are known from its results alone; without any, it is left out.

    Args:
        recipes: all recipes.
        models: the results by `Result.key`.
        notes: remarks by the same keys.

    Returns:
        Plain data for the page, accuracies in per cent, None for blank cells. `title`; `columns` (overall and the
        groups); `rules` (evaluation rules by key, `last` is shown first); `benchmarks` by name, each with `title`,
        `class_counts`, `class_names` and `groupings` (the classes of each group, by rule); `rows`, one per model, each
        with its published or claimed figures, its cost, the `first_stage` of a second stage, whether it began with
        `pretrained` weights, and its `runs`.
    """
    by_name = {recipe.name: recipe for recipe in recipes}
    published = [recipe.name for recipe in recipes if recipe.published and not recipe.natural]
    shown = {*models, *published}
    parameters = _counter_of_parameters()
    rows = [_row(name, by_name.get(name), models.get(name), notes.get(name), parameters) for name in sorted(shown)]
    measured = {result.benchmark: result.resolved_benchmark for model in models.values() for result in model.results}
    benchmarks = [measured.get(name) or get_benchmark(name) for name in sorted({row["benchmark"] for row in rows})]
    return {
        "title": "ltzoo",
        "columns": list(COLUMNS),
        "rules": dict(RULES),
        "benchmarks": {benchmark.name: _benchmark(benchmark) for benchmark in benchmarks},
        "rows": rows,
    }


def _benchmark(benchmark: Benchmark) -> dict[str, Any]:
    profile = f"IF {benchmark.imbalance_factor}, {benchmark.profile} profile"
    return {
        "title": f"{benchmark.name} ({profile})",
        "class_counts": list(benchmark.class_counts),
        "class_names": list(benchmark.data_set.class_names),
        "groupings": {
            groups.rule: {name: list(classes) for name, classes in groups.classes.items()}
            for groups in all_groups(benchmark)
        },
    }


def _row(
    name: str,
    recipe: Recipe | None,
    model: ModelResults | None,
    note: str | None,
    parameters: Callable[[Recipe], int | None],
) -> dict[str, Any]:
    results = model.results if model else ()
    claims = [result.claim for result in results if result.claim]
    kept = any(result.weights for result in results)
    return {
        "model": model.name if model else name,
        "benchmark": recipe.benchmark if recipe else results[0].benchmark,
        "backbone": recipe.architecture if recipe else results[0].architecture,
        "groups": recipe.groups if recipe else results[0].groups,
        "load": f'ltzoo.create_model("{name}", pretrained=True)' if kept else None,
        "published": [_published(figure, recipe.groups) for figure in recipe.published] if recipe else [],
        "claimed": {"overall": claims[0].overall, "source": claims[0].source} if claims else None,
        "note": note,
        "first_stage": first_stage(recipe),
        "passes": passes_text(recipe) if recipe else None,
        "parameters": parameters(recipe) if recipe else None,
        "pretrained": is_pretrained(results[0].recipe, results[0].run) if results else is_pretrained(recipe),
        "runs": [_run(result) for result in results],
    }


def _counter_of_parameters() -> Callable[[Recipe], int | None]:
    """Return a function that counts a recipe's parameters, each network once."""
    known: dict[tuple[str, str, Head], int | None] = {}

    def count(recipe: Recipe) -> int | None:
        key = recipe.architecture, recipe.benchmark, recipe.head
        if key not in known:
            known[key] = count_parameters(recipe)
        return known[key]

    return count


def _published(figure: Published, groups: str) -> dict[str, Any]:
    label = f"{figure.paper}, {figure.table}, {figure.row}"
    return {"label": label, "rule": "paper", "groups": groups, "limit": limit("overall", figure)} | {
        column: getattr(figure.mean, column) for column in COLUMNS
    }


def _run(result: Result) -> dict[str, Any]:
    figures = {
        rule: {
            "epoch": result.epochs[rule] + 1 if rule in result.epochs else None,
            "overall": round(found.overall, 6),
            "groups": {
                groups: {name: None if value is None else round(value, 6) for name, value in accuracy.items()}
                for groups, accuracy in found.groups.items()
            },
            "per_class": _rounded(found.per_class),
        }
        for rule, found in result.figures.items()
    }
    curve = {key: _rounded(values) for key, values in result.curve.items() if key in COLUMNS}
    if curve:
        curve["epoch"] = [int(epoch or 0) + 1 for epoch in result.curve["epoch"]]
    return {
        "seed": result.seed,
        "start_seed": start_seed(result),
        "kept": result.weights is not None,
        "precision": result.recipe.precision if result.recipe else None,
        "machine": ", then ".join(result.machines),
        # The time of a head that is computed is not recorded.
        "minutes": (round(device_minutes(result), 1) or None) if result.recipe else None,
        "figures": {rule: figures.get(rule) for rule in RULES},
        "curve": curve or None,
    }


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 2) for value in values]
