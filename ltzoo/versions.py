"""The version of ltzoo, and the refusal of what a newer one wrote and this one cannot read."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ltzoo.errors import InputError, first_line, printable, shortened, shown

VERSION = "0.3.0.dev0"

NAME = "ltzoo"
"""Key of ltzoo's version among the versions that a file records."""

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})[\w.+-]{0,40}", re.ASCII)

_FAULTS = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError)
"""What readers raise for content that they do not know."""


class NewerError(InputError):
    """A newer version of ltzoo wrote a file, and this version cannot read it."""


def newer_version(versions: Any) -> str | None:
    """Return the version of ltzoo that wrote a file if it is newer than this one by major or minor number.

    Args:
        versions: what the file records as versions, name to version; anything else counts as no record.
    """
    recorded = versions.get(NAME) if isinstance(versions, Mapping) else None
    found, own = (_VERSION.fullmatch(text) if isinstance(text, str) else None for text in (recorded, VERSION))
    if found is None or own is None or _numbers(found) <= _numbers(own):
        return None
    return found[0]


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])


@contextmanager
def named_if_newer(file: Path, versions: Any, unknown: Iterable[object] = ()) -> Iterator[None]:
    """Read a file within this; if a newer version wrote it and it cannot be read, the error says so.

    The file of a newer version is accepted if nothing in it is unknown: a field that is passed over could change what
    the others mean.

    Args:
        file: the file, which the error names.
        versions: see `newer_version`.
        unknown: the file's fields that this version does not know; those of a file that is not newer are passed over.

    Raises:
        NewerError: a newer version wrote the file, and it has an unknown field or could not be read.
    """
    newer = newer_version(versions)
    if newer is None:
        yield
        return
    for field in unknown:
        raise _refusal(file, newer, f"unknown field: {printable(str(field)[:80])}")
    try:
        yield
    except NewerError:
        raise
    except _FAULTS as error:
        raise _refusal(file, newer, _fault(file, error)) from error


def _fault(file: Path, error: Exception) -> str:
    """Return what an error says of a file, without its name and without the advice, which is for this version's."""
    if isinstance(error, KeyError):
        return f"missing field: {shown(error.args[0])}"
    text = first_line(error).partition(";")[0].removeprefix(f"{file} is damaged: ").removeprefix(f"{file}: ")
    return shortened(f"it {text.removeprefix(f'{file} ')}" if text.startswith(f"{file} ") else text)


def _refusal(file: Path, newer: str, fault: str) -> NewerError:
    return NewerError(f"{file} was written by ltzoo {newer}, and this is {VERSION}: upgrade ltzoo ({fault})")
