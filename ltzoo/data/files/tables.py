"""Tables of images: CSV files with a column of paths, one of labels and perhaps one of splits."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ltzoo.data.files.entries import Entries, Listed
from ltzoo.data.files.names import shown
from ltzoo.errors import InputError, first_line

SPLIT_COLUMN = "split"


def read_table(path: Path, image_column: str, label_column: str) -> tuple[Listed, np.ndarray | None]:
    """Read a table.

    Args:
        path: a CSV file in UTF-8; its first line names the columns.
        image_column: the column of paths.
        label_column: the column of labels, any text; space around it does not count.

    Returns:
        What it says, and the (N,) texts of the column `split`; None where there is no such column.

    Raises:
        InputError: it cannot be read, lacks a column or a cell, or names an image twice or none.
    """
    entries = Entries(path)
    splits: list[str] = []
    rows = _rows(path)
    header = next(rows, (0, []))[1]
    columns = _columns(path, header, image_column, label_column)
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(f"{path}, line {line} has {len(cells)} cells, not {len(header)}; mend the line")
        image, label, *split = (cells[column] for column in columns)
        label = label.strip()
        if not (image and label) or "\0" in image:
            raise InputError(f"{path}, line {line} has no {'label' if image else 'image'}; mend or remove the line")
        entries.add(image.encode(), label.encode(), line)
        splits += split
    return entries.listed(), np.array(splits) if len(columns) == 3 else None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the table's rows that are not blank, and the line in which each ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the table {path} cannot be read ({first_line(error)[:80]}); see that it is CSV in UTF-8"
        ) from error


def _columns(path: Path, header: list[str], image_column: str, label_column: str) -> list[int]:
    """Find the columns: image, label and, where there is one, split."""
    names = [name.strip() for name in header]
    for name, option in ((image_column, "--image-column"), (label_column, "--label-column")):
        if names.count(name) != 1:
            found = f"no column {name!r}" if name not in names else f"more than one column {name!r}"
            raise InputError(f"{path} has {found}, its columns are {_listed(names)}; name one with {option}")
    return [names.index(name) for name in (image_column, label_column, SPLIT_COLUMN) if name in names]


def _listed(names: list[str]) -> str:
    return shown(", ".join(repr(name[:40]) for name in names[:20]) or "none")
