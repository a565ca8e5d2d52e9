"""What the leaderboard's page shows, as plain data."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ltzoo.data import Benchmark, all_groups, get_benchmark
from ltzoo.recipes import Published, Recipe
from ltzoo.report.result import RULES, Result
from ltzoo.report.standing import COLUMNS, Standing, device_minutes, limit


def leaderboard_document(
    recipes: Sequence[Recipe], standings: Mapping[str, Standing], notes: Mapping[str, str]
) -> dict[str, Any]:
    """Gather what has been measured, and what papers printed that nobody has measured yet.

    The page shows class counts and groups, which a benchmark in files has once it is measured: until then it stands in
    the papers' tables alone.

    Args:
        recipes: all recipes.
        standings: `Result.key` to its results.
        notes: the same to what is to be said of it.

    Returns:
        `title`, `columns`, `rules`, `benchmarks` and `rows`; accuracies in per cent.
    """
    by_name = {recipe.name: recipe for recipe in recipes}
    printed = [recipe.name for recipe in recipes if recipe.published and not recipe.natural]
    shown = {*standings, *printed}
    rows = [_row(name, by_name.get(name), standings.get(name), notes.get(name)) for name in sorted(shown)]
    opened = {result.benchmark: result.opened for standing in standings.values() for result in standing.results}
    benchmarks = [opened.get(name) or get_benchmark(name) for name in sorted({row["benchmark"] for row in rows})]
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


def _row(name: str, recipe: Recipe | None, standing: Standing | None, note: str | None) -> dict[str, Any]:
    results = standing.results if standing else ()
    claims = [result.claim for result in results if result.claim]
    kept = any(result.weights for result in results)
    return {
        "model": standing.model if standing else name,
        "benchmark": recipe.benchmark if recipe else results[0].benchmark,
        "backbone": recipe.architecture if recipe else results[0].architecture,
        "groups": recipe.groups if recipe else results[0].groups,
        "load": f'ltzoo.create_model("{name}", pretrained=True)' if kept else None,
        "published": [_published(figure, recipe.groups) for figure in recipe.published] if recipe else [],
        "claimed": {"overall": claims[0].overall, "source": claims[0].source} if claims else None,
        "note": note,
        "runs": [_run(result) for result in results],
    }


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
        "kept": result.weights is not None,
        "precision": result.recipe.precision if result.recipe else None,
        "machine": result.run.get("machine"),
        "minutes": round(device_minutes(result), 1) if result.recipe else None,
        "figures": {rule: figures.get(rule) for rule in RULES},
        "curve": curve or None,
    }


def _rounded(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 2) for value in values]
