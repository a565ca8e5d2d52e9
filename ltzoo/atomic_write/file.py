"""Atomic writes of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltzoo.atomic_write.descriptor import descriptor_path, write_to_descriptor
from ltzoo.atomic_write.failure import write_errors
from ltzoo.atomic_write.left_over import temporary_for


@contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[Path]:
    """Write a file under a temporary name and rename it once it is complete.

    The temporary file lies in the same folder and has a unique name, so several processes can write one path at once:
    the last rename wins. After an error or an interrupt it is removed, and the old file stays; after a kill the next
    writer of the path removes it. The new file's mode follows the umask, whichever library writes it.

    Args:
        path: the file to write or to replace. A link stays, and the file that it points to is replaced. A device is
            written to, and so is /dev/stdout, also where the shell redirects it to a file.
        durable: flush the file to the disk before it is renamed, so that it is whole even after a power failure.

    Yields:
        The path of the temporary file, which is empty.

    Raises:
        WriteError: the file cannot be written.
    """
    if (descriptor := descriptor_path(path)) is not None:
        with write_errors(path), write_to_descriptor(descriptor) as fresh:
            yield fresh
        return
    if path.exists() and not path.is_file() and not path.is_dir():
        with write_errors(path):
            yield path
        return
    path = path.resolve() if path.is_symlink() else path
    with write_errors(path), temporary_for(path) as (temporary, mode):
        yield temporary
        if temporary.stat().st_mode & 0o7777 != mode:  # safetensors makes files that their owner alone can read
            temporary.chmod(mode)
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8.

    Raises:
        WriteError: it cannot be written.
    """
    with atomic_write(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush a folder's list of files to the disk, where folders can be opened, as on Linux and macOS."""
    if hasattr(os, "O_DIRECTORY"):
        sync(path)
