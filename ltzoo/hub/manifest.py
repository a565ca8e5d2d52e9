"""The manifest: the SHA-256 of a checkpoint's files, written with them and held against them when they are read."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ltzoo.errors import InputError
from ltzoo.hub.layout import FILES, MANIFEST
from ltzoo.whole_file import whole_file

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_MEGABYTE = 2**20


class DamagedError(InputError):
    """A file of a checkpoint that is missing, or is not the one that was written."""


def write_manifest(folder: Path) -> None:
    """Write the manifest over the files of a checkpoint."""
    there = [name for name in FILES if (folder / name).is_file()]
    lines = [f"{_sha256((folder / name).read_bytes())}  {name}\n" for name in sorted(there)]
    with whole_file(folder / MANIFEST) as fresh:
        fresh.write_text("".join(lines), encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, str] | None:
    """Read a checkpoint's manifest: file to SHA-256; None where there is none, as beside timm's own checkpoints.

    Raises:
        DamagedError: it is no manifest.
        InputError: it is too long, or names a file outside the folder.
    """
    if not (folder / MANIFEST).is_file():
        return None
    lines = _read(folder, MANIFEST, _MEGABYTE).decode("utf-8", "replace").splitlines()
    listed = {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match}
    if not listed or len(listed) != len(lines):
        raise DamagedError(f"{folder / MANIFEST} is damaged; fetch the checkpoint again")
    for name in listed:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise InputError(f"{folder / MANIFEST} names {name!r}, outside the checkpoint; do not use this checkpoint")
    return listed


def read_file(folder: Path, name: str, megabytes: int | None = None) -> bytes:
    """Read a file of a checkpoint and hold it against the manifest, where there is one.

    Args:
        folder: the checkpoint.
        name: the file, relative to it.
        megabytes: how long it may be.

    Raises:
        DamagedError: it is missing, cannot be read, or is not the file that was written.
        InputError: it is too long.
    """
    content = _read(folder, name, megabytes and megabytes * _MEGABYTE)
    manifest = read_manifest(folder)
    if manifest is not None and manifest.get(name) != _sha256(content):
        raise DamagedError(f"{folder / name} is damaged: it is not the file that {MANIFEST} lists; fetch it again")
    return content


def damaged_files(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """Name files that are missing, or are not those that the manifest lists.

    Args:
        folder: a checkpoint with a manifest.
        names: the files to look at; all that are listed, or belong to a checkpoint, if None.
    """
    listed = read_manifest(folder) or {}
    looked_at = {*listed, *(name for name in FILES if (folder / name).is_file())} if names is None else set(names)
    return sorted(name for name in looked_at if not _holds(folder, name, listed.get(name)))


def _holds(folder: Path, name: str, expected: str | None) -> bool:
    try:
        return _sha256(_read(folder, name, None)) == expected
    except DamagedError:
        return False


def _read(folder: Path, name: str, at_most: int | None) -> bytes:
    path = folder / name
    try:
        size = path.stat().st_size
        if at_most is not None and size > at_most:
            raise InputError(f"{path} has {size / _MEGABYTE:.1f} MiB, too many for a checkpoint of timm or ltzoo")
        return path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path} is missing or cannot be read ({error.strerror}); a checkpoint has it") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
