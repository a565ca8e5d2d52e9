"""The papers' tables, row by row: what was printed, and what our runs give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ltzoo.evaluate import Spread, markdown_table
from ltzoo.recipes import Accuracy, Published, Recipe
from ltzoo.report.standing import COLUMNS, Difference, Standing, difference

_PASSES = {"sgd": 3.0, "sam": 6.0, "imbsam": 8.0, "samext": 11.0, "ssesam": 10.1, "pgd": 3.0, "lpfsgd": 3.0}
"""What an image costs a method in a whole run, in forward passes (docs/sharpness.md); SSE-SAM with gamma = 0.7."""


@dataclass(frozen=True)
class Row:
    """A row of a table on one benchmark.

    Attributes:
        recipe: the recipe of the row.
        published: what was printed.
        standing: our runs; None where there are none.
    """

    recipe: Recipe
    published: Published
    standing: Standing | None


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper on one benchmark.

    Attributes:
        paper: its key in `ltzoo.recipes.citations`.
        table: as the paper calls it.
        benchmark: the benchmark's name.
        rows: in the order of the registry.
    """

    paper: str
    table: str
    benchmark: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Name paper, table and benchmark."""
        return f"{self.paper}, {self.table}: {self.benchmark}"


def paper_tables(recipes: Sequence[Recipe], standings: Mapping[str, Standing]) -> list[PaperTable]:
    """Gather the recipes that papers printed figures for, a table and benchmark each, in alphabetical order.

    Args:
        recipes: all recipes.
        standings: a recipe's name to our runs.
    """
    gathered: dict[tuple[str, str, str], list[Row]] = {}
    for recipe in recipes:
        for figure in recipe.published:
            rows = gathered.setdefault((figure.paper, figure.table, recipe.benchmark), [])
            rows.append(Row(recipe, figure, standings.get(recipe.name)))
    return [PaperTable(*key, tuple(rows)) for key, rows in sorted(gathered.items())]


def table_text(table: PaperTable, notes: Mapping[str, str]) -> str:
    """Lay a table out as Markdown: each cell is overall / head / mid / tail; what is outside is bold.

    Args:
        table: the table.
        notes: a recipe's name to what is known of why it differs.
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
    ]
    rows = []
    for row in table.rows:
        last = row.standing.spreads("last") if row.standing else {}
        paper = row.standing.spreads("paper") if row.standing else {}
        rows.append(
            [
                row.published.row,
                f"`{row.recipe.name}`",
                _printed(row.published.mean),
                _measured(last),
                _differences(last, row.published),
                _measured(paper),
                str(len(row.standing.results)) if row.standing else "",
                row.standing.precisions if row.standing else "",
            ]
        )
    found = [f"- `{row.recipe.name}`: {notes[row.recipe.name]}" for row in table.rows if row.recipe.name in notes]
    return "\n".join([markdown_table(header, rows), *(["", *found] if found else [])])


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
    """Say in a sentence how many of the papers' cells have runs of ours."""
    rows = [row for table in tables for row in table.rows]
    measured = sum(row.standing is not None for row in rows)
    trained = f"{measured or 'none'} {'has' if measured == 1 else 'have'} been trained here so far"
    return f"Of the {len(rows)} cells of the papers' tables, {trained}."


def count_text(tables: Sequence[PaperTable]) -> str:
    """Count, table by table, the rows that our runs have measured and those that they reproduce.

    A row is judged by the first column that the paper prints, overall accuracy wherever there is one.
    """
    counted: dict[tuple[str, str], list[Row]] = {}
    for table in tables:
        counted.setdefault((table.paper, table.table), []).extend(table.rows)
    rows = []
    for (paper, name), of_table in counted.items():
        found = [_judged(row.standing, row.published) for row in of_table if row.standing]
        inside = sum(not judged.outside for judged in found)
        rows.append([f"{paper}, {name}", str(len(of_table)), str(len(found)), str(inside), _cost(of_table)])
    return markdown_table(["paper, table", "cells", "measured", "reproduced", "minutes of a cell, of the table"], rows)


def _judged(standing: Standing, published: Published) -> Difference:
    spreads = standing.spreads()
    found = (difference(column, spreads[column], published) for column in COLUMNS if column in spreads)
    return next(difference for difference in found if difference is not None)


def _cost(rows: Sequence[Row]) -> str:
    """Say what a cell took, and what the whole table would: by passes, with as many seeds as the paper has."""
    measured = [row for row in rows if row.standing]
    if not measured:
        return ""
    first = measured[0]
    assert first.standing is not None
    minutes = first.standing.minutes / _PASSES[first.recipe.perturbation.name]
    whole = sum(minutes * _PASSES[row.recipe.perturbation.name] * (row.published.n or 1) for row in rows)
    name, machines = first.recipe.name, first.standing.machines
    return f"{first.standing.minutes:.0f} (`{name}`, {first.standing.precisions}, {machines}); {whole:.0f} by passes"
