"""Tables of figures: as text, as Markdown, and as CSV with timm's columns."""

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltzoo.errors import InputError, printable
from ltzoo.evaluate.figures import Figures
from ltzoo.reading.content import open_regular

RESULT_COLUMNS = ("model", "img_size", "top1", "top1_err", "top5", "top5_err", "param_count", "head", "mid", "tail")
"""timm's columns, then the groups of the protocol's own grouping, in per cent; `param_count` in millions."""


def results_row(name: str, img_size: int, parameters: int, figures: Figures) -> dict[str, str]:
    """Format one row of a results file.

    Args:
        name: the model's name.
        img_size: height and width of the input in pixels.
        parameters: number of parameters.
        figures: the model's figures.
    """
    own = figures.own_groups
    return {
        "model": name,
        "img_size": str(img_size),
        "top1": f"{figures.overall:.3f}",
        "top1_err": f"{100 - figures.overall:.3f}",
        "top5": f"{figures.top5:.3f}",
        "top5_err": f"{100 - figures.top5:.3f}",
        "param_count": f"{parameters / 1e6:.2f}",
        **{group: _cell(own.get(group), 3) for group in ("head", "mid", "tail")},
    }


def append_results(path: Path, row: Mapping[str, str]) -> None:
    """Append a row to a results file; a new file starts with the header.

    Raises:
        InputError: the columns of the file differ.
    """
    new = not path.exists() or path.stat().st_size == 0
    header = ",".join(RESULT_COLUMNS)
    if not new and _first_line(path) != header:
        raise InputError(f"{path} has other columns than {header}; choose another --results-file")
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, RESULT_COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        elif not _ends_a_line(path):
            file.write("\n")
        writer.writerow(row)


def _first_line(path: Path) -> str:
    with open_regular(path) as file:
        return file.readline(4096).decode("utf-8", "replace").rstrip("\r\n")


def _ends_a_line(path: Path) -> bool:
    with open_regular(path) as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def accuracy_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Format overall, head, mid and tail accuracy as text.

    Args:
        rows: accuracies in per cent by label, as in `Figures.headline`; missing or None is left blank.
    """
    columns = ("overall", "head", "mid", "tail")
    lines: list[tuple[str, ...]] = [("", *columns)]
    lines += [(label, *(_cell(found.get(column)) for column in columns)) for label, found in rows.items()]
    width = max(len(line[0]) for line in lines)
    return "\n".join(f"{label:<{width}}" + "".join(f"{cell:>9}" for cell in cells) for label, *cells in lines)


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _cell(value: Any, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def escape_markdown(text: str) -> str:
    """Write a text of someone else's, such as the name of a class, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#&~!])", r"\\\1", printable(str(text)))
