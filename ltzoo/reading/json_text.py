"""JSON as the standard defines it: finite numbers, unique keys, printable text, bounded depth and size."""

import json
import math
import re
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any

from ltzoo.reading.content import MEGABYTE, read_content
from ltzoo.reading.errors import ContentError, why

DEEPEST = 64
"""Levels of nesting; what ltzoo and timm write has fewer than ten."""

_LONGEST_NUMBER = 400
"""Digits of a number: as many as a float64 can need."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, megabytes: int = 16, keys: Container[str] | None = None) -> Any:
    """Read a JSON file, see `parse_json`.

    Args:
        path: the file.
        megabytes: the largest size allowed, in MiB.
        keys: see `parse_json`.

    Raises:
        ContentError: it cannot be read, is too long, or is refused.
    """
    try:
        return parse_json(read_content(path, megabytes * MEGABYTE), keys)
    except OSError as error:
        raise ContentError(why(error)) from error


def parse_json(content: bytes | str, keys: Container[str] | None = None) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark.

    Args:
        content: the text.
        keys: the keys of objects that are kept, to save memory; None for all.

    Raises:
        ContentError: it is no JSON; a key is there twice; a number is NaN, infinite or has more than 64 bits; a text
            has half of a surrogate pair; or it is nested too deeply.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
        document = json.loads(
            text,
            object_pairs_hook=partial(_unique, keys=keys),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
        )
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except ContentError:
        raise
    except UnicodeEncodeError as error:
        raise ContentError("a text in it has half of a surrogate pair") from error
    except UnicodeDecodeError as error:
        raise ContentError("it is not UTF-8") from error
    except RecursionError as error:
        raise ContentError("it is nested too deeply") from error
    except ValueError as error:
        raise ContentError(f"it is no JSON: {why(error)}") from error
    if _depth(document) > DEEPEST:
        raise ContentError(f"it is nested more than {DEEPEST} levels deep")
    return document


def _unique(pairs: list[tuple[str, Any]], keys: Container[str] | None) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ContentError(f"it has the key {twice[:40]!r} twice")
    return found if keys is None else {key: value for key, value in pairs if key in keys}


def _refuse(constant: str) -> float:
    raise ContentError(f"it has the number {constant}, which JSON does not know")


def _finite(text: str) -> float:
    number = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
    if not math.isfinite(number):
        raise ContentError(f"it has the number {text[:40]}, which is too large or too long")
    return number


def _whole(text: str) -> int:
    # No index, count or size needs more, and Python's own conversions to float fail on longer ones.
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ContentError(f"it has the number {text[:40]}, which has more than 64 bits")
    return int(text)


def _depth(document: Any) -> int:
    """Return the levels of nesting, counted without recursion."""
    level, depth = [document], 0
    while depth <= DEEPEST:
        level = [node for node in level if type(node) in (dict, list)]
        if not level:
            break
        depth += 1
        level = [child for node in level for child in (node.values() if type(node) is dict else node)]
    return depth
