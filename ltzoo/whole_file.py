"""A file that is written is there as a whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the place to write a file at; when it is written, it takes the path, and when that fails, nothing is left.

    Args:
        path: where the file shall be; what is there stays until the new file is whole.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        yield fresh
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
