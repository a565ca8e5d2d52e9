"""The papers' tables: published figures beside ours, row by row, and how far they differ."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.evaluate import Spread, markdown_table
from ltzoo.recipes import Accuracy, Published, Recipe
from ltzoo.recipes.cost import passes_text, total_passes
from ltzoo.report.model_results import COLUMNS, ModelResults
from ltzoo.report.stages import first_stage, runs_text, stage_minutes

POINTS = 1.5
"""The largest difference, in percentage points, that counts as reproduced if no standard deviation was published."""

DEVIATIONS = 2.0
"""The largest difference that counts as reproduced, in published standard deviations."""


@dataclass(frozen=True)
class Difference:
    """The difference between a measured mean and a published figure.

    Attributes:
        points: measured minus published, in percentage points, as rounded to one decimal.
        outside: it is larger than `limit`, so the figure is not reproduced.
    """

    points: float
    outside: bool


def difference(column: str, measured: Spread, published: Published) -> Difference | None:
    """Compare a measured mean with a published figure.

    Args:
        column: one of `COLUMNS`.
        measured: mean and standard deviation of our runs.
        published: the paper's row.

    Returns:
        The difference; None if the paper printed no figure in this column.
    """
    printed = getattr(published.mean, column)
    if printed is None:
        return None
    # Of the rounded figures, so that readers find the same difference.
    points = round(round(measured.mean, 1) - printed, 1)
    return Difference(points, abs(points) > limit(column, published))


def limit(column: str, published: Published) -> float:
    """Return the largest difference, in percentage points, that counts as reproduced."""
    std = getattr(published.std, column) if published.std else None
    return POINTS if std is None else round(DEVIATIONS * std, 6)


@dataclass(frozen=True)
class Row:
    """A row of a table on one benchmark.

    Attributes:
        recipe: the recipe of the row.
        published: the published figures.
        measured: our runs; None without any.
    """

    recipe: Recipe
    published: Published
    measured: ModelResults | None


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper on one benchmark.

    Attributes:
        paper: the citation key.
        table: the name in the paper, such as `Table 1`.
        benchmark: the benchmark's name.
        rows: in the order of the registry.
    """

    paper: str
    table: str
    benchmark: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Paper, table and benchmark."""
        return f"{self.paper}, {self.table}: {self.benchmark}"


def paper_tables(recipes: Sequence[Recipe], models: Mapping[str, ModelResults]) -> list[PaperTable]:
    """Arrange the recipes with published figures, one table per paper, table and benchmark, in alphabetical order.

    Args:
        recipes: all recipes.
        models: the results by `Result.key`.
    """
    gathered: dict[tuple[str, str, str], list[Row]] = {}
    for recipe in recipes:
        for figure in recipe.published:
            rows = gathered.setdefault((figure.paper, figure.table, recipe.benchmark), [])
            rows.append(Row(recipe, figure, models.get(recipe.name)))
    return [PaperTable(*key, tuple(rows)) for key, rows in sorted(gathered.items())]


def table_text(table: PaperTable, models: Mapping[str, ModelResults], notes: Mapping[str, str]) -> str:
    """Format a table as Markdown: cells hold overall / head / mid / tail; differences above the limit are bold.

    Args:
        table: the table.
        models: the results by `Result.key`, from which the minutes of first stages are taken.
        notes: name of a recipe to a remark on why its figures differ.
    """
    header = [
        "row",
        "recipe",
        "published",
        "ours, last epoch",
        "difference",
        "ours, the paper's rule",
        "n",
        "precision",
        "passes x epochs",
        "minutes",
    ]
    rows = []
    for row in table.rows:
        last = row.measured.spreads("last") if row.measured else {}
        paper = row.measured.spreads("paper") if row.measured else {}
        rows.append(
            [
                row.published.row,
                _named(row.recipe),
                _printed(row.published.mean),
                _measured(last),
                _differences(last, row.published),
                _measured(paper),
                runs_text(row.measured) if row.measured else "",
                row.measured.precisions if row.measured else "",
                passes_text(row.recipe),
                stage_minutes(row.measured, models) if row.measured else "",
            ]
        )
    found = [
        textwrap.fill(f"- `{name}`: {notes[name]}", 120, subsequent_indent="  ", break_on_hyphens=False)
        for name in (row.recipe.name for row in table.rows)
        if name in notes
    ]
    return "\n".join([markdown_table(header, rows), *(["", *found] if found else [])])


def _named(recipe: Recipe) -> str:
    first = first_stage(recipe)
    return f"`{recipe.name}`, second stage of `{first}`" if first else f"`{recipe.name}`"


def _printed(accuracy: Accuracy) -> str:
    values = [getattr(accuracy, column) for column in COLUMNS]
    return " / ".join("-" if value is None else f"{value:.1f}" for value in values)


def _measured(spreads: Mapping[str, Spread]) -> str:
    return " / ".join(str(spreads[column]) if column in spreads else "-" for column in COLUMNS) if spreads else ""


def _differences(spreads: Mapping[str, Spread], published: Published) -> str:
    cells = []
    for column in COLUMNS:
        found = difference(column, spreads[column], published) if column in spreads else None
        text = "-" if found is None else f"{found.points:+.1f}"
        cells.append(f"**{text}**" if found is not None and found.outside else text)
    return " / ".join(cells) if spreads else ""


def measured_text(tables: Sequence[PaperTable]) -> str:
    """Return a sentence on how many published results have been trained here."""
    rows = [row for table in tables for row in table.rows]
    measured = sum(row.measured is not None for row in rows)
    trained = f"{measured or 'none'} {'has' if measured == 1 else 'have'} been trained here so far"
    return f"There are recipes for {len(rows)} published results, of which {trained}."


def count_text(tables: Sequence[PaperTable]) -> str:
    """Count measured and reproduced rows of each table, as Markdown.

    A row is compared by its first published column: overall accuracy, unless the paper prints none.
    """
    counted: dict[tuple[str, str], list[Row]] = {}
    for table in tables:
        counted.setdefault((table.paper, table.table), []).extend(table.rows)
    rows = []
    for (paper, name), of_table in counted.items():
        found = [_compared(row.measured, row.published) for row in of_table if row.measured]
        inside = sum(not each.outside for each in found)
        rows.append([f"{paper}, {name}", str(len(of_table)), str(len(found)), str(inside), _cost(of_table)])
    return markdown_table(["paper, table", "results", "measured", "reproduced", "minutes of one, of the table"], rows)


def _compared(model: ModelResults, published: Published) -> Difference:
    spreads = model.spreads()
    found = (difference(column, spreads[column], published) for column in COLUMNS if column in spreads)
    return next(difference for difference in found if difference is not None)


def _cost(rows: Sequence[Row]) -> str:
    """Format the minutes of one cell, and of the whole table, estimated by passes, images and the paper's seeds.

    The whole table is left out if its rows differ in network or image size, whose passes differ in time.
    """
    for row in rows:
        if row.measured is None or row.measured.minutes == 0:  # the time of a computed head is not recorded
            continue
        named = f"`{row.recipe.name}`, {row.measured.precisions}, {row.measured.machines}"
        cell = f"{row.measured.minutes:.0f} ({named})"
        if len({(other.recipe.architecture, other.recipe.input) for other in rows}) > 1:
            return cell
        minutes = row.measured.minutes / _image_passes(row.recipe)
        whole = sum(minutes * _image_passes(other.recipe) * (other.published.n or 1) for other in rows)
        return f"{cell}; {whole:.0f} by passes"
    return ""


def _image_passes(recipe: Recipe) -> float:
    """Return the forward passes of a training, counted once per image."""
    passes = total_passes(recipe)
    assert passes is not None  # the papers' perturbations are ours
    images = NATURAL_BENCHMARKS[recipe.benchmark].train_images if recipe.natural else sum(recipe.data.class_counts)
    assert images is not None  # nor do they measure images of a user's own
    return passes * images
