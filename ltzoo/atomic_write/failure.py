"""What a failed write is reported as: one line with the file's name, whichever library wrote it."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ltzoo.errors import InputError, first_line

_ALWAYS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Errors that only a write has. `shutil.copyfile` names the file that it reads when the disk is full."""

_REASONS = {
    errno.ENOSPC: "no space is left on the device; make room",
    errno.EDQUOT: "the disk quota is used up; make room",
    errno.EFBIG: "it is larger than a file may be here (ulimit -f, or the file system's limit)",
    errno.EROFS: "the file system is read-only; name another place",
    errno.EACCES: "permission is denied; name another place",
    errno.EPERM: "permission is denied; name another place",
    errno.ENOENT: "its folder does not exist, or was removed in the meantime",
    errno.ENOTDIR: "a file is in the place of its folder",
    errno.EISDIR: "a folder is in its place",
}


class WriteError(InputError):
    """A file cannot be written, because the disk is full, for example. What it was to replace is unchanged."""


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the errors of writing a file, or the files of a folder, into a `WriteError` that names it.

    Beside `OSError`, these are `SafetensorError`, and `shutil.Error` with a list in place of a number.

    Args:
        path: the file or the folder.

    Raises:
        WriteError: in place of these errors; an `OSError` about a file elsewhere is raised as it is.
    """
    try:
        yield
    except SafetensorError as error:
        raise WriteError(f"{path} cannot be written: {_reason(error)}") from error
    except OSError as error:
        if error.errno not in _ALWAYS and not _is_within(error, path):
            raise
        raise WriteError(f"{path} cannot be written: {_reason(error)}") from error


def _is_within(error: OSError, path: Path) -> bool:
    """Return whether an error names no file, the path or its folder, or a file in one of them."""
    if isinstance(error, shutil.Error) or not isinstance(error.filename, str | bytes):
        return True
    return Path(os.fsdecode(error.filename)).is_relative_to(path.parent)


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if number is None:
        # As safetensors writes it; shutil.Error lists such texts too.
        found = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
        number = int(found[1] or found[2]) if found else None
    if number is None:
        return first_line(error)
    return _REASONS.get(number, os.strerror(number))
