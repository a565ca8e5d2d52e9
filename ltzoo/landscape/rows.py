"""Which rows of an analysis a picture shows, and in which order."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
"""What `landscape.json` holds."""
Row = Mapping[str, Any]
"""One of its spectra."""

MOST_SETS = 12
"""How many sets a picture shows at most."""
_ORDER = ("sgd", "pgd", "lpfsgd", "sam", "imbsam", "samext", "ssesam")


def rows_with(document: Document, key: str) -> list[Row]:
    """Give the rows that have something, sorted by recipe and seed."""
    rows = [row for row in document["spectra"] if row.get(key) is not None]
    return sorted(rows, key=lambda row: (family_of(row), *_place(word_of(row)), row["seed"], row["epoch"]))


def latest(rows: Iterable[Row]) -> list[Row]:
    """Give for each model and set the row of the most epochs."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["model"], row["set"]
        if key not in found or row["epoch"] > found[key]["epoch"]:
            found[key] = row
    return list(found.values())


def grouped(rows: Iterable[Row], key: Callable[[Row], str] | str) -> dict[str, list[Row]]:
    """Give the rows of each value of a key, or of what is computed from a row."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key] if isinstance(key, str) else key(row), []).append(row)
    return found


def family_of(row: Row) -> str:
    """Name what a row's recipe shares with those that differ in their perturbation alone."""
    return str(row["recipe"]).rpartition("_")[0]


def word_of(row: Row) -> str:
    """Name a row's perturbation as its recipe does, `sam10` say."""
    return str(row["recipe"]).rpartition("_")[2]


def words_of(rows: Iterable[Row]) -> list[str]:
    """Give the perturbations, plain SGD first."""
    return sorted({word_of(row) for row in rows}, key=_place)


def radius_of(row: Row) -> float | None:
    """Give the one constant radius that all classes have, SGD having 0; None if there is no such."""
    perturbation = row["perturbation"]
    if perturbation["name"] == "sgd":
        return 0.0
    rho = perturbation.get("rho")
    return float(rho) if perturbation["name"] == "sam" and isinstance(rho, int | float) else None


def over_epochs(rows: Iterable[Row]) -> list[Row]:
    """Give the rows of models and sets that were analysed after several epochs."""
    return _several(rows, lambda row: row["model"], lambda row: row["epoch"], 2)


def over_radii(rows: Iterable[Row]) -> list[Row]:
    """Give the rows of families and sets with so many constant radii that a line can bend."""
    return _several((row for row in _registered(rows) if radius_of(row) is not None), family_of, radius_of, 3)


def over_perturbations(rows: Iterable[Row]) -> list[Row]:
    """Give the rows of families and sets with several perturbations."""
    return _several(_registered(rows), family_of, word_of, 2)


def _registered(rows: Iterable[Row]) -> list[Row]:
    """Leave out the rows of runs with overrides: they differ from the others of their family in more."""
    return [row for row in rows if not row.get("overrides")]


def _several(
    rows: Iterable[Row], owner: Callable[[Row], str], value: Callable[[Row], object], fewest: int
) -> list[Row]:
    """Give the rows of each owner and set with at least so many different values."""
    cells = grouped(rows, lambda row: f"{owner(row)} {row['set']}").values()
    return [row for found in cells if len({value(row) for row in found}) >= fewest for row in found]


def escapes(document: Document) -> list[Row]:
    """Give the last rows with the escape of SGD and of another method."""
    return [row for row in latest(rows_with(document, "escape")) if "sgd" in row["escape"] and len(row["escape"]) > 1]


def by_count(document: Document) -> list[int]:
    """Sort the classes from the most training images to the fewest."""
    counts = document["class_counts"]
    return sorted(range(len(counts)), key=lambda j: -counts[j])


def sets_of(document: Document, rows: Iterable[Row]) -> list[str]:
    """Give the sets: all, the groups from head to tail, and classes from the most training images to the fewest."""
    order = ["all", *document["groups"]["classes"], *map(str, by_count(document))]
    return sorted({row["set"] for row in rows}, key=lambda one: (order.index(one) if one in order else -1, one))


def wide(sets: Iterable[str]) -> list[str]:
    """Leave out the single classes."""
    return [one for one in sets if not one.isdecimal()]


def classes_of(sets: Iterable[str]) -> list[str]:
    """Leave the single classes alone."""
    return [one for one in sets if one.isdecimal()]


def evenly(sets: Sequence[str], most: int) -> list[str]:
    """Choose at most so many, the first and the last among them."""
    if len(sets) <= most:
        return list(sets)
    return [sets[round(place * (len(sets) - 1) / (most - 1))] for place in range(most)]


def few(sets: Sequence[str], most: int) -> list[str]:
    """Choose at most so many: if there are more, `all` and the groups alone, and without them some classes."""
    return list(sets) if len(sets) <= most else wide(sets) or evenly(sets, most)


def ratio(above: float, below: float) -> float:
    """Compute abs(above / below), infinite below 0; of two zeros it is no number."""
    if below == 0:
        return math.nan if above == 0 else math.inf
    return abs(above / below)


def _place(word: str) -> tuple[int, str]:
    """Sort plain SGD first and unknown words last; what is called alike by its radius."""
    letters = re.sub(r"\d+$", "", word)
    return _ORDER.index(letters) if letters in _ORDER else len(_ORDER), word
