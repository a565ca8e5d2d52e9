"""What the kernel can deny: writing to read-only folders, to root as well, and more than so many bytes a file."""

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_VERSION_3 = 0x20080522
_OVERRIDES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: by these root writes and reads whatever a file's mode says."""


def _capabilities() -> tuple[ctypes.Array, ctypes.Array]:
    header, data = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert _LIBC.capget(header, data) == 0
    return header, data


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write under a folder."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
    header, data = _capabilities()
    effective = data[0]
    for path in folders:
        path.chmod(0o555)
    try:
        data[0] = effective & ~_OVERRIDES
        assert _LIBC.capset(header, data) == 0
        assert not os.access(folder, os.W_OK, effective_ids=True) or os.geteuid() == 0
        yield
    finally:
        data[0] = effective
        assert _LIBC.capset(header, data) == 0
        for path in folders:
            path.chmod(0o755)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that has no more room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
