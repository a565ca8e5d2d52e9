"""Tables of all results of a benchmark: Markdown, and CSV with timm's columns."""

import csv
import io
from collections.abc import Mapping, Sequence

from ltzoo.checkpoints import COLUMN_TITLES
from ltzoo.evaluate import RESULT_COLUMNS, markdown_table
from ltzoo.recipes import Recipe
from ltzoo.recipes.cost import passes_per_image, passes_text
from ltzoo.recipes.model import count_parameters, view_of
from ltzoo.report.model_results import COLUMNS, ModelResults
from ltzoo.report.result import Result
from ltzoo.report.stages import first_stage, runs_text, stage_minutes

CSV_COLUMNS = (
    *RESULT_COLUMNS,
    "groups",
    "n",
    "top1_std",
    "head_std",
    "mid_std",
    "tail_std",
    "precision",
    "published_top1",
    "first_stage",
    "passes",
    "epochs",
    "minutes",
)
"""`RESULT_COLUMNS` of the last epoch, as means over the seeds; standard deviations; the published accuracy; the recipe
that a second stage starts from; forward passes per image and epoch; epochs; mean minutes of a run, without those of its
first stage."""


def group_by_benchmark(models: Mapping[str, ModelResults]) -> dict[str, list[ModelResults]]:
    """Group models by benchmark, sorted by overall accuracy, the highest first."""
    gathered: dict[str, list[ModelResults]] = {}
    for model in models.values():
        gathered.setdefault(model.results[0].benchmark, []).append(model)
    return {
        benchmark: sorted(found, key=lambda s: (-s.spreads()["overall"].mean, s.name))
        for benchmark, found in sorted(gathered.items())
    }


def benchmark_table(models: Sequence[ModelResults], all_models: Mapping[str, ModelResults]) -> str:
    """Format mean and standard deviation of the last epoch beside cost and published overall accuracy, as Markdown.

    A second stage below its first, or below another second stage of it, is indented; elsewhere its first is named.

    Args:
        models: the rows, in this order.
        all_models: all results by `Result.key`, from which the minutes of first stages are taken.
    """
    rows, above = [], None
    for model in models:
        spreads, result = model.spreads(), model.results[0]
        first = first_stage(result.recipe)
        rows.append(
            [
                _named(model, first, indented=first is not None and first == above),
                *(str(spreads[column]) if column in spreads else "" for column in COLUMNS),
                result.groups,
                runs_text(model),
                model.precisions,
                passes_text(result.recipe) if result.recipe else "",
                stage_minutes(model, all_models),
                _printed(model),
            ]
        )
        above = above if first is not None and first == above else model.name
    cost = ["passes x epochs", "minutes"]
    titles = ["recipe", *COLUMN_TITLES.values(), "groups", "n", "precision", *cost, "published or claimed"]
    return markdown_table(titles, rows)


def _named(model: ModelResults, first: str | None, indented: bool) -> str:
    if model.results[0].recipe is None:
        return f"`{model.name}` (external)"
    if first is None:
        return f"`{model.name}`"
    return f"↳ `{model.name}`" if indented else f"`{model.name}`, second stage of `{first}`"


def _printed(model: ModelResults) -> str:
    result = model.results[0]
    if result.claim:
        return f"[{result.claim.overall:.1f}]({result.claim.source})"
    found = [figure for figure in (result.recipe.published if result.recipe else ()) if figure.mean.overall is not None]
    return ", ".join(f"{figure.mean.overall:.1f} ({figure.paper}, {figure.table})" for figure in found)


def csv_text(models: Sequence[ModelResults]) -> str:
    """Format the models of a benchmark as CSV, one row each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_cells(model) for model in models)
    return file.getvalue()


def _cells(model: ModelResults) -> list[str]:
    spreads, result = model.spreads(), model.results[0]
    top5 = sum(result.figures["last"].top5 for result in model.results) / len(model.results)
    groups = [column for column in COLUMNS if column != "overall"]
    published = [f.mean.overall for f in (result.recipe.published if result.recipe else ()) if f.mean.overall]
    overall = spreads["overall"]
    cells: list[str | float | int | None] = [
        model.name,
        _image_size(result),
        overall.mean,
        100 - overall.mean,
        top5,
        100 - top5,
        _millions(result.recipe),
        *(spreads[group].mean if group in spreads else None for group in groups),
        result.groups,
        len(model.results),
        *(spreads[column].std if column in spreads else None for column in COLUMNS),
        model.precisions,
        result.claim.overall if result.claim else published[0] if published else None,
        first_stage(result.recipe),
        passes_per_image(result.recipe) if result.recipe else None,
        result.recipe.schedule.epochs if result.recipe else None,
        (model.minutes or None) if result.recipe else None,
    ]
    return ["" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]


def _image_size(result: Result) -> int:
    """Return the height and width of images as they reach the model, in pixels."""
    if result.recipe is None or result.recipe.input is None:
        return result.resolved_benchmark.data_set.image_size
    return view_of(result.recipe).size


def _millions(recipe: Recipe | None) -> float | None:
    parameters = count_parameters(recipe) if recipe else None
    return None if parameters is None else parameters / 1e6
