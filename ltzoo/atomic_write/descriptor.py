"""Paths that name an open file of a process, such as /dev/stdout: they are written to, not replaced."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LINKS = 40
"""Links that are followed, as by Linux."""


def descriptor_path(path: Path) -> Path | None:
    """Return the entry of /proc or /dev/fd that a path leads to; None if it names a file, a folder or nothing.

    Such an entry looks like a link to the file that is open, and that file must not be replaced: the shell, or another
    program, writes to it too.
    """
    for _ in range(_LINKS):
        parent = path.parent.resolve()
        if parent.is_relative_to("/proc") or parent == Path("/dev/fd"):
            return parent / path.name
        if not path.is_symlink():
            return None
        path = parent / path.readlink()
    return None


@contextmanager
def write_to_descriptor(path: Path) -> Iterator[Path]:
    """Write a file elsewhere, and then its content to an open file, after what that has already been given.

    Args:
        path: what `descriptor_path` returns.

    Yields:
        The path of an empty file.
    """
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "content"
        fresh.touch()
        yield fresh
        sys.stdout.flush()
        sys.stderr.flush()
        # Opening the entry would begin at the start of the file; the descriptor itself knows how far it is.
        own = path.name.isdigit() and path.parent in (Path("/dev/fd"), Path("/proc/self/fd").resolve())
        with os.fdopen(os.dup(int(path.name)), "wb") if own else path.open("ab") as file:
            file.write(fresh.read_bytes())
