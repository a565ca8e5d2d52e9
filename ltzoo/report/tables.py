"""Tables of all results: Markdown by benchmark, and CSV in timm's columns."""

import csv
import io
from collections.abc import Mapping, Sequence

from ltzoo.evaluate import RESULT_COLUMNS, markdown_table
from ltzoo.recipes import Recipe
from ltzoo.recipes.model import build_model
from ltzoo.report.standing import COLUMNS, Standing

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
)
"""`RESULT_COLUMNS` of the last epoch, means over the seeds; their standard deviations; what a paper printed."""


def by_benchmark(standings: Mapping[str, Standing]) -> dict[str, list[Standing]]:
    """Gather standings by benchmark, the most accurate first."""
    gathered: dict[str, list[Standing]] = {}
    for standing in standings.values():
        gathered.setdefault(standing.results[0].benchmark, []).append(standing)
    return {
        benchmark: sorted(found, key=lambda s: (-s.spreads()["overall"].mean, s.model))
        for benchmark, found in sorted(gathered.items())
    }


def benchmark_table(standings: Sequence[Standing]) -> str:
    """Lay out mean and standard deviation of the last epoch as Markdown, beside the published overall accuracy."""
    rows = []
    for standing in standings:
        spreads, result = standing.spreads(), standing.results[0]
        rows.append(
            [
                f"`{standing.model}`" if result.recipe else f"`{standing.model}` (from elsewhere)",
                *(str(spreads[column]) if column in spreads else "" for column in COLUMNS),
                result.groups,
                str(len(standing.results)),
                standing.precisions,
                _printed(standing),
            ]
        )
    return markdown_table(["recipe", *COLUMNS, "groups", "n", "precision", "published or claimed"], rows)


def _printed(standing: Standing) -> str:
    result = standing.results[0]
    if result.claim:
        return f"[{result.claim.overall:.1f}]({result.claim.source})"
    found = [figure for figure in (result.recipe.published if result.recipe else ()) if figure.mean.overall is not None]
    return ", ".join(f"{figure.mean.overall:.1f} ({figure.paper}, {figure.table})" for figure in found)


def csv_text(standings: Sequence[Standing]) -> str:
    """Lay out a benchmark's standings as CSV, a row each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(_cells(standing) for standing in standings)
    return file.getvalue()


def _cells(standing: Standing) -> list[str]:
    spreads, result = standing.spreads(), standing.results[0]
    top5 = sum(found.figures["last"].top5 for found in standing.results) / len(standing.results)
    groups = [column for column in COLUMNS if column != "overall"]
    published = [f.mean.overall for f in (result.recipe.published if result.recipe else ()) if f.mean.overall]
    overall = spreads["overall"]
    cells: list[str | float | int | None] = [
        standing.model,
        result.opened.data_set.image_size,
        overall.mean,
        100 - overall.mean,
        top5,
        100 - top5,
        _millions(result.recipe),
        *(spreads[group].mean if group in spreads else None for group in groups),
        result.groups,
        len(standing.results),
        *(spreads[column].std if column in spreads else None for column in COLUMNS),
        standing.precisions,
        result.claim.overall if result.claim else published[0] if published else None,
    ]
    return ["" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]


def _millions(recipe: Recipe | None) -> float | None:
    return sum(parameter.numel() for parameter in build_model(recipe).parameters()) / 1e6 if recipe else None
