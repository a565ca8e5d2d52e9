"""The bytes of a file: only regular files, only up to a size, and only within a folder."""

import errno
import os
import stat
from collections.abc import Collection
from io import BufferedReader
from pathlib import Path

MEGABYTE = 2**20
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Without O_NONBLOCK, opening a named pipe would wait for a writer."""


def open_regular(path: Path | str) -> BufferedReader:
    """Open a regular file; a pipe or a device, which may never end, is refused.

    Raises:
        OSError: it cannot be opened, or is something else; `strerror` says why.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except ValueError as error:  # a NUL or a lone surrogate in the path
        raise OSError(errno.EINVAL, "no file can have this name") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise OSError(errno.EINVAL, f"it is {found}, not a file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_content(path: Path | str, at_most: int) -> bytes:
    """Read a whole regular file.

    Args:
        path: the file.
        at_most: the largest size allowed, in bytes; a longer file is not read.

    Raises:
        OSError: it cannot be read, or is too long; `strerror` says why.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            found, allowed = size / MEGABYTE, at_most / MEGABYTE
            raise OSError(errno.EFBIG, f"it has {found:.1f} MiB, more than the {allowed:.1f} allowed", str(path))
        content = file.read(size + 1)
    if len(content) > size:  # a file of /proc says that it is empty, and may never end
        raise OSError(errno.EFBIG, "it has more bytes than it says", str(path))
    return content


def stays_within(path: Path, folders: Collection[Path]) -> bool:
    """Return whether a path, with all links followed, lies below one of the folders.

    Args:
        path: the path.
        folders: resolved folders: following their links again for each of many files would take as long as reading.
    """
    try:
        found = path.resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL in the name; links in a circle
        return False
    return any(map(found.is_relative_to, folders))
