"""Real failures of writing: files of a limited size, and processes that are killed before a chosen system call."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CALLS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.listdir",
    "os.truncate",
    "ctypes.dlopen",
}
"""The audited events that belong to writing a file or a folder."""


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
            _kill_before_call(number, within)
            write()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _kill_before_call(number: int, within: Path) -> None:
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        about = event == "ctypes.dlopen" or (arguments and str(arguments[0]).startswith(str(within)))
        if event in CALLS and about:
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
