"""A class prior from a file."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ltzoo.errors import InputError, first_few
from ltzoo.reading.content import read_content
from ltzoo.reading.errors import ContentError, why
from ltzoo.reading.json_text import parse_json

_LARGEST = 2**26
"""Bytes of a file of shares: a million classes."""
_SUM_WITHIN = 1e-3
"""How far from 1 the sum of rounded shares may be."""


def read_shares(path: Path, class_names: Sequence[str]) -> Tensor:
    """Read a class prior.

    Args:
        path: a .json file with an object of class names and shares, or a .csv file with the columns `class` and
            `share`.
        class_names: the model's classes; each must be there once, and no other.

    Returns:
        (C,) float64, divided by their sum.

    Raises:
        InputError: the file cannot be read, does not name exactly the classes, a share is no number from 0 on, or they
            do not add up to 1 within 0.001.
    """
    try:
        content = read_content(path, _LARGEST)
        found = _of_csv(content) if path.suffix.lower() == ".csv" else _of_json(content)
    except (OSError, ContentError) as error:
        raise InputError(
            f"the prior {path} cannot be read ({why(error)}); write a CSV with the columns class and share, or a JSON "
            "object of class names and shares"
        ) from error
    lacking = [repr(name[:40]) for name in class_names if name not in found]
    unknown = [repr(name[:40]) for name in found if name not in set(class_names)]
    if lacking or unknown:
        if lacking:
            fault = f"lacks the {'class' if len(lacking) == 1 else 'classes'} {first_few(lacking)}"
        else:
            are = "is not a class" if len(unknown) == 1 else "are not classes"
            fault = f"names {first_few(unknown)}, which {are} of the model"
        raise InputError(f"the prior {path} {fault}; name exactly the model's {len(class_names)} classes")
    shares = torch.tensor([found[name] for name in class_names], dtype=torch.float64)
    total = float(shares.sum())
    if abs(total - 1) > _SUM_WITHIN:
        raise InputError(f"the shares in {path} add up to {total:g}, not to 1; divide each by their sum")
    return shares / total


def _of_json(content: bytes) -> Mapping[str, float]:
    document = parse_json(content)
    if not isinstance(document, dict):
        raise ContentError("it is no object of class names and shares")
    return {name: _share(name, value) for name, value in document.items()}


def _of_csv(content: bytes) -> Mapping[str, float]:
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        header, *rows = [cells for cells in csv.reader(text, strict=True) if cells] or [[]]
    except (ValueError, csv.Error) as error:
        raise ContentError(f"it is no table in UTF-8: {why(error)}") from error
    if sorted(header) != ["class", "share"]:
        raise ContentError("its columns are not class and share")
    found: dict[str, float] = {}
    for number, cells in enumerate(rows, 1):
        if len(cells) != len(header):
            raise ContentError(f"row {number} has {len(cells)} cells, not 2")
        name, share = cells[header.index("class")], cells[header.index("share")]
        if name in found:
            raise ContentError(f"it names the class {name[:40]!r} twice")
        try:
            found[name] = _share(name, float(share))
        except ValueError:
            raise ContentError(f"the share of {name[:40]!r} is {share[:40]!r}, no number from 0 to 1") from None
    return found


def _share(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise ContentError(f"the share of {name[:40]!r} is {str(value)[:40]!r}, no number from 0 to 1")
    return float(value)
