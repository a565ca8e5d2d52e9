"""Kill a process before a chosen call about a file, without a debugger: Python announces these calls."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.listdir", "ctypes.dlopen"}
"""The audited events that belong to writing a file or a folder; `ctypes.dlopen` comes before names are exchanged."""


def watch_calls(within: Path, act: Callable[[int], None]) -> None:
    """Call a function before each call of this process about a file in a folder, for as long as the process lives.

    Args:
        within: the folder.
        act: gets the number of the call, from 1.
    """
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event not in CALLS:
            return
        if event == "ctypes.dlopen" or (arguments and str(arguments[0]).startswith(str(within))):
            count += 1
            act(count)

    sys.addaudithook(hook)


def kill_before_call(number: int, within: Path) -> None:
    """Let this process be killed (SIGKILL) before its n-th call about a file in a folder, n from 1."""

    def act(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    watch_calls(within, act)
