"""Atomic writes of folders."""

import ctypes
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ltzoo.atomic_write.failure import write_errors
from ltzoo.atomic_write.file import sync, sync_folder
from ltzoo.atomic_write.left_over import temporary_for

_EXCHANGE, _AT_FDCWD = 2, -100
"""Constants of Linux's `renameat2`."""
_NOT_EXCHANGED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.ENOENT}
"""What `renameat2` fails with where two names cannot be exchanged, or where one of them is gone."""


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Write a folder under a temporary name; once its files are complete and on disk, it replaces `path` as a whole.

    On Linux the two folders exchange their names in one system call. Where that is impossible, the old folder is first
    renamed to `.NAME.(8 digits).old`; if the process is killed in between, the next writer puts it back. As for
    `atomic_write`, several processes can write one folder at once, and modes follow the umask.

    Args:
        path: the folder to write or to replace. A link stays, and the folder that it points to is replaced.

    Yields:
        An empty folder to write to.

    Raises:
        WriteError: a file cannot be written. The old folder stays, and no new parent folder.
    """
    path = path.resolve() if path.is_symlink() else path
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
            _restore(path)
            with temporary_for(path, folder=True) as (fresh, _):
                yield fresh
                _finish(fresh)
                _put(fresh, path)
                sync_folder(path.parent)
            _remove_old(path)
    except BaseException:
        with suppress(OSError):
            _restore(path)
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()  # if it is empty
        raise


def _finish(fresh: Path) -> None:
    """Give all files of a folder the mode that follows the umask, and flush them to the disk."""
    probe = fresh / f".{secrets.token_hex(8)}"
    probe.touch()
    mode = probe.stat().st_mode & 0o7777
    probe.unlink()
    for folder, _, names in os.walk(fresh, topdown=False):
        for file in (Path(folder, name) for name in names):
            if file.stat().st_mode & 0o7777 != mode:
                file.chmod(mode)
            sync(file)
        sync_folder(Path(folder))


def _put(fresh: Path, path: Path) -> None:
    """Give a folder its name; the folder that has it takes another name."""
    while not (path.exists() and _exchange(fresh, path)):
        with suppress(FileNotFoundError):  # there is none, or another writer was faster
            path.rename(path.with_name(f".{path.name}.{secrets.token_hex(4)}.old"))
        try:
            fresh.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one system call; returns whether the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_EXCHANGED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _restore(path: Path) -> None:
    """Put back a folder that was moved away and not replaced; remove one that was."""
    if not path.exists():
        for old in _old(path):
            with suppress(OSError):
                old.rename(path)
    _remove_old(path)


def _remove_old(path: Path) -> None:
    # Listed before the check: what another writer moves away in the meantime must stay until it is replaced.
    for old in _old(path) if path.exists() else []:
        shutil.rmtree(old, ignore_errors=True)


def _old(path: Path) -> list[Path]:
    """List the folders that were moved away; version 0.2 called it `.NAME.old`."""
    pattern = re.compile(rf"\.{re.escape(path.name)}(\.[0-9a-f]{{8}})?\.old")
    return [found for found in path.parent.iterdir() if pattern.fullmatch(found.name)]
