"""Atomic file writes: readers see the old file or the new one, never half of it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name and rename it once it is complete and on disk.

    The temporary file lies in the same folder and has a unique name, so several processes can write one path at once:
    the last rename wins. After an error or an interrupt it is removed, and the old file stays.

    Args:
        path: the file to write or to replace.

    Yields:
        The temporary path. The caller must create a file there.

    Raises:
        OSError: the file cannot be written, or the caller created none.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # where folders can be opened, as on Linux and macOS
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Flush a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
