"""Temporary files and folders: unique names, a lock while they are in use, and removal of those that nobody uses.

The lock is the operating system's (`flock`): it ends with the process, however that ends. Where there is none, as on
Windows or on some network file systems, nothing is removed.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def temporary_for(path: Path, folder: bool = False) -> Iterator[tuple[Path, int]]:
    """Make a temporary file or folder beside a path, locked until the end of the `with` block and then removed.

    Args:
        path: what it is to replace.
        folder: make a folder instead of a file.

    Yields:
        Its path and its mode, which follows the umask.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        descriptor = _make(temporary, folder)
        if _lock(descriptor, wait=True):
            break
        os.close(descriptor)  # another writer took it for a left-over one before it was locked
    try:
        remove_left_over(path)
        yield temporary, os.fstat(descriptor).st_mode & 0o7777
    finally:
        _remove(temporary)
        os.close(descriptor)


def remove_left_over(path: Path) -> None:
    """Remove the temporary files and folders of earlier writers of a path that were killed."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    found: list[Path] = []
    with suppress(OSError):
        found = [other for other in path.parent.iterdir() if pattern.fullmatch(other.name)] if fcntl else []
    for other in found:
        with suppress(OSError):
            descriptor = _open(other)
            try:
                if _lock(descriptor, wait=False):
                    _remove(other)
            finally:
                os.close(descriptor)


def _make(temporary: Path, folder: bool) -> int:
    while folder:
        temporary.mkdir()
        with suppress(FileNotFoundError):  # another writer took it for a left-over one before it was opened
            return os.open(temporary, os.O_RDONLY)
    return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file or folder; returns False if it is in use, or was removed before it was locked.

    Where files cannot be locked, the writer goes on without a lock, and others see that they cannot lock it either.
    """
    if fcntl is None:
        return wait
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return wait
    return os.fstat(descriptor).st_nlink > 0


def _remove(path: Path) -> None:
    """Remove a file or a folder; an error must not hide the one that led here."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
