"""The files of a checkpoint: their names, and the manifest with their SHA-256 hashes."""

import errno
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ltzoo.atomic_write import write_text
from ltzoo.errors import InputError
from ltzoo.reading.content import MEGABYTE, open_regular, read_content, stays_within

CONFIG = "config.json"
"""What timm needs to build the model, with recipe, class names and counts, groups, metrics, subset and versions.
For weights of an earlier epoch, also the number of epochs that they were trained."""

WEIGHTS = "model.safetensors"
"""The state dict. The last epoch's is in float16 if that changes no class's accuracy, every other one in float32."""

METRICS = "metrics.json"
"""All figures."""

SUMMARY = "summary.csv"
"""The training curve, one row per epoch."""

CLASSES_PICTURE, CURVES_PICTURE = "classes.png", "curves.png"
"""Accuracy of each class over its number of training images; the training curves."""

EXAMPLE = "test/rand_tensors.safetensors"
"""An `input`, and the `output` of the stored weights for it, computed in float32 on a CPU."""

CARD = "README.md"
"""The model card."""

MANIFEST = "SHA256SUMS"
"""The SHA-256 of every other file, in the format of `sha256sum --check`."""

FILES = (CONFIG, WEIGHTS, METRICS, SUMMARY, CLASSES_PICTURE, CURVES_PICTURE, EXAMPLE, CARD)
"""The files that the manifest covers. Other files beside them, such as a licence on the Hub, are ignored."""

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


class DamagedError(InputError):
    """A file of a checkpoint is missing or has another content than was written."""


def write_manifest(folder: Path) -> None:
    """Write the manifest of a checkpoint's files."""
    present = [name for name in FILES if (folder / name).is_file()]
    lines = [f"{_hash_file(folder, name)}  {name}\n" for name in sorted(present)]
    write_text(folder / MANIFEST, "".join(lines))


def read_manifest(folder: Path) -> dict[str, str] | None:
    """Read a checkpoint's manifest.

    Returns:
        File name to SHA-256; None without a manifest, as in timm's own checkpoints.

    Raises:
        DamagedError: the file is not a manifest.
        InputError: it is too long, or names a file outside the folder.
    """
    if not (folder / MANIFEST).is_file():
        return None
    lines = _read(folder, MANIFEST, MEGABYTE).decode("utf-8", "replace").splitlines()
    listed = {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match}
    if not listed or len(listed) != len(lines):
        raise DamagedError(f"{folder / MANIFEST} is damaged; fetch the checkpoint again")
    for name in listed:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name or not name.isprintable():
            raise InputError(f"{folder / MANIFEST} names {name!r}, outside the checkpoint; do not use this checkpoint")
    return listed


def read_file(folder: Path, name: str, megabytes: int = 16) -> bytes:
    """Read a file of a checkpoint and compare its hash with the manifest, if there is one.

    Args:
        folder: the checkpoint.
        name: the file's path in the folder.
        megabytes: the largest size allowed, in MiB.

    Raises:
        DamagedError: the file is missing, unreadable, or not the one in the manifest.
        InputError: it is too long, or a link that leads outside.
    """
    content = _read(folder, name, megabytes * MEGABYTE)
    manifest = read_manifest(folder)
    if manifest is not None and manifest.get(name) != hashlib.sha256(content).hexdigest():
        raise DamagedError(f"{folder / name} is damaged: it is not the file that {MANIFEST} lists; fetch it again")
    return content


def damaged_files(folder: Path, names: Iterable[str] | None = None) -> list[str]:
    """List the files that are missing or differ from the manifest.

    Args:
        folder: a checkpoint with a manifest.
        names: the files to check; None for every file that is listed or belongs to a checkpoint.
    """
    listed = read_manifest(folder) or {}
    checked = {*listed, *(name for name in FILES if (folder / name).is_file())} if names is None else set(names)
    return sorted(name for name in checked if not _matches(folder, name, listed.get(name)))


def _matches(folder: Path, name: str, expected: str | None) -> bool:
    try:
        return _hash_file(folder, name) == expected
    except DamagedError:
        return False


def _read(folder: Path, name: str, at_most: int) -> bytes:
    with _explained(folder, name) as path:
        return read_content(path, at_most)


def _hash_file(folder: Path, name: str) -> str:
    """Return the SHA-256 of a file of any size."""
    with _explained(folder, name) as path, open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _explained(folder: Path, name: str) -> Iterator[Path]:
    """Read a file of a checkpoint within; it gives the path.

    A link may lead to a file of the checkpoint itself, or to the files of the Hub's cache.

    Raises:
        DamagedError: the file is missing or cannot be read.
        InputError: it is too long, or a link that leads outside.
    """
    path, inside = folder / name, [folder.resolve()]
    if inside[0].parent.name == "snapshots":
        inside.append(inside[0].parents[1] / "blobs")
    try:
        if path.is_symlink() and not stays_within(path, inside):
            raise InputError(f"{path} is a link that leads outside the checkpoint; copy the file itself there")
        yield path
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise InputError(f"{path} is too long for a checkpoint of timm or ltzoo: {error.strerror}") from error
        raise DamagedError(f"{path} is missing or cannot be read ({error.strerror}); a checkpoint has it") from error
