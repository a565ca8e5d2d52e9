"""The file of an analysis, `landscape.json`: its entries, and how it is read."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from ltzoo.errors import InputError
from ltzoo.landscape.settings import Settings
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import read_json
from ltzoo.versions import named_if_newer

DOCUMENT = "landscape.json"
"""Name of the file that stores an analysis."""

CHOICES = ("benchmark", "class_counts", "subset_sha256", "groups")
"""Entries, apart from the settings, that a resumed analysis must share with the stored one."""

_KNOWN = {*CHOICES, "settings", "versions", "spectra"}
_ROW = {"model", "epoch", "set", "weights_sha256", "lambda_min", "lambda_max", "converged", "density"}


def read_document(path: Path) -> dict[str, Any]:
    """Read `landscape.json`.

    Raises:
        InputError: the file is missing or is not an analysis.
        NewerError: a newer version of ltzoo wrote it, and it has what this one does not know.
    """
    try:
        document = read_json(path, megabytes=256)
    except ContentError as error:
        raise InputError(f"{path} is missing or damaged; analyse again with another --output") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no analysis; choose another --output")
    with named_if_newer(path, document.get("versions"), _unknown_fields(document)):
        rows = document.get("spectra")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= _ROW for row in rows):
            raise InputError(f"{path} holds no analysis; choose another --output")
    return document


def _unknown_fields(document: dict[str, Any]) -> list[str]:
    """List the entries and settings that this version does not write."""
    settings = document.get("settings")
    unknown = set(settings) - {field.name for field in fields(Settings)} if isinstance(settings, dict) else ()
    return sorted(set(document) - _KNOWN) + [f"settings.{key}" for key in sorted(unknown)]
