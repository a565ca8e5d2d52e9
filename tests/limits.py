"""Real failures of writing: files of a limited size, and processes that are killed before a chosen call."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kills import kill_before_call


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to write more than so many bytes into a file (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def killed_before_call(number: int, within: Path, write: Callable[[], object]) -> bool:
    """Run a function in a process of its own that is killed before its n-th call about a file in a folder.

    Args:
        number: n, from 1.
        within: the folder.
        write: the function; it must not raise.

    Returns:
        Whether it was killed; otherwise it had fewer calls.
    """
    child = os.fork()
    if child == 0:
        try:
            kill_before_call(number, within)
            write()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
