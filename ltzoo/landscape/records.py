"""Select and sort the records of an analysis for plots."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ltzoo.data import classes_by_count
from ltzoo.sharpness import PERTURBATIONS

Document = Mapping[str, Any]
"""The contents of `landscape.json`."""
Row = Mapping[str, Any]
"""One of its spectra."""

MOST_SETS = 12
"""Maximum number of sets in a plot."""


def records_with(document: Document, key: str) -> list[Row]:
    """Return the rows that have a key, sorted by recipe and seed."""
    rows = [row for row in document["spectra"] if row.get(key) is not None]
    return sorted(rows, key=lambda row: (family_of(row), *_sort_key(perturbation_of(row)), row["seed"], row["epoch"]))


def last_epochs(rows: Iterable[Row]) -> list[Row]:
    """Return the row of the last epoch for each model and set."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["model"], row["set"]
        if key not in found or row["epoch"] > found[key]["epoch"]:
            found[key] = row
    return list(found.values())


def group_by(rows: Iterable[Row], key: Callable[[Row], str] | str) -> dict[str, list[Row]]:
    """Group rows by a key, or by a function of the row."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key] if isinstance(key, str) else key(row), []).append(row)
    return found


def family_of(row: Row) -> str:
    """Return the recipe's name without the perturbation."""
    return str(row["recipe"]).rpartition("_")[0]


def perturbation_of(row: Row) -> str:
    """Return the perturbation from the recipe's name, for example `sam10`."""
    return str(row["recipe"]).rpartition("_")[2]


def perturbations_of(rows: Iterable[Row]) -> list[str]:
    """Return the perturbations, SGD first."""
    return sorted({perturbation_of(row) for row in rows}, key=_sort_key)


def radius_of(row: Row) -> float | None:
    """Return the constant radius shared by all classes, 0 for SGD; None if there is none."""
    perturbation = row["perturbation"]
    if perturbation["name"] == "sgd":
        return 0.0
    rho = perturbation.get("rho")
    return float(rho) if perturbation["name"] == "sam" and isinstance(rho, int | float) else None


def with_several_epochs(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of models and sets that were analysed after several epochs."""
    return _several(rows, lambda row: row["model"], lambda row: row["epoch"], 2)


def with_several_radii(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of families and sets with at least three constant radii."""
    return _several((row for row in _registered(rows) if radius_of(row) is not None), family_of, radius_of, 3)


def with_several_perturbations(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of families and sets with several perturbations."""
    return _several(_registered(rows), family_of, perturbation_of, 2)


def _registered(rows: Iterable[Row]) -> list[Row]:
    """Drop the rows of runs with overrides, which differ from their family in more than the perturbation."""
    return [row for row in rows if not row.get("overrides")]


def _several(
    rows: Iterable[Row], owner: Callable[[Row], str], value: Callable[[Row], object], fewest: int
) -> list[Row]:
    """Return the rows of each owner and set with at least `fewest` different values."""
    cells = group_by(rows, lambda row: f"{owner(row)} {row['set']}").values()
    return [row for found in cells if len({value(row) for row in found}) >= fewest for row in found]


def escape_records(document: Document) -> list[Row]:
    """Return the last-epoch rows with the escape of SGD and of another method."""
    return [
        row
        for row in last_epochs(records_with(document, "escape"))
        if "sgd" in row["escape"] and len(row["escape"]) > 1
    ]


def sets_of(document: Document, rows: Iterable[Row]) -> list[str]:
    """Return the sets in order: all, groups from head to tail, classes from the most to the fewest training images."""
    order = ["all", *document["groups"]["classes"], *map(str, classes_by_count(document["class_counts"]))]
    return sorted({row["set"] for row in rows}, key=lambda one: (order.index(one) if one in order else -1, one))


def without_single_classes(sets: Iterable[str]) -> list[str]:
    """Drop the single classes."""
    return [one for one in sets if not one.isdecimal()]


def single_classes(sets: Iterable[str]) -> list[str]:
    """Return the single classes only."""
    return [one for one in sets if one.isdecimal()]


def pick_evenly(sets: Sequence[str], most: int) -> list[str]:
    """Choose at most `most` evenly spaced sets, including the first and the last."""
    if len(sets) <= most:
        return list(sets)
    return [sets[round(place * (len(sets) - 1) / (most - 1))] for place in range(most)]


def limit_sets(sets: Sequence[str], most: int) -> list[str]:
    """Limit the sets to `most`: if there are more, return `all` and the groups, or else some classes."""
    return list(sets) if len(sets) <= most else without_single_classes(sets) or pick_evenly(sets, most)


def ratio(numerator: float, denominator: float) -> float:
    """Compute abs(numerator / denominator); infinite for a denominator of 0, NaN for two zeros."""
    if denominator == 0:
        return math.nan if numerator == 0 else math.inf
    return abs(numerator / denominator)


def _sort_key(word: str) -> tuple[int, str]:
    """Sort key: the order of the registry, SGD first; unknown perturbations last; equal names by radius."""
    letters, order = re.sub(r"\d+$", "", word), list(PERTURBATIONS)
    return order.index(letters) if letters in order else len(order), word
