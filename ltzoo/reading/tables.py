"""CSV tables of numbers, such as a training curve."""

import csv
import io
import math
from collections.abc import Sequence

from ltzoo.reading.errors import ContentError, why


def parse_numbers(content: bytes, columns: Sequence[str]) -> list[dict[str, float | None]]:
    """Parse a CSV table of finite numbers with a header.

    Args:
        content: the table in UTF-8.
        columns: the columns to keep; others are ignored.

    Returns:
        One dictionary per row; None for a blank cell.

    Raises:
        ContentError: it is no such table, a column is missing or there twice, a row has other cells than the header, or
            a number is not finite.
    """
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        header, *rows = [cells for cells in csv.reader(text, strict=True) if cells] or [[]]
    except (ValueError, csv.Error) as error:
        raise ContentError(f"it is no table in UTF-8: {why(error)}") from error
    wrong = next((column for column in columns if header.count(column) != 1), None)
    if wrong is not None:
        raise ContentError(f"it has the column {wrong} {header.count(wrong)} times, not once")
    places = {column: header.index(column) for column in columns}
    for number, cells in enumerate(rows, 1):
        if len(cells) != len(header):
            raise ContentError(f"row {number} has {len(cells)} cells, not {len(header)}")
    return [{column: _number(cells[place], column) for column, place in places.items()} for cells in rows]


def _number(cell: str, column: str) -> float | None:
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ContentError(f"the column {column} has {cell[:40]!r}, which is no finite number")
    return number
