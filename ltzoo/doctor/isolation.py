"""A function in a process of its own: what it breaks, hangs on or leaves behind ends with that process."""

import importlib
import multiprocessing
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from ltzoo.errors import first_line, root_cause

_PRELOADED = ("ltzoo.doctor.agreement", "ltzoo.doctor.speed")
"""What the server imports, and with it torch and timm."""


class FailedError(Exception):
    """The function failed; the message says how: its error, or the signal that ended the process."""


class LateError(FailedError):
    """The time was up."""


def in_own_process(function: str, *arguments: object, seconds: float) -> Any:
    """Call a function in a new process, see `in_own_processes`."""
    return in_own_processes(function, [arguments], seconds)[0]


def in_own_processes(function: str, calls: Sequence[tuple[object, ...]], seconds: float) -> list[Any]:
    """Call a function several times at once, each time in a new process, which has not used any device yet.

    Where the system can, the process is a copy of a server that has imported torch and used nothing of it. This process
    need not import torch at all, which takes seconds.

    Args:
        function: MODULE:NAME; its result must be picklable without torch.
        calls: the arguments of each call; picklable.
        seconds: the processes are killed after this time.

    Returns:
        The results, in the order of the calls.

    Raises:
        LateError: the time is up.
        FailedError: the function raised an error, or a process died.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(list(_PRELOADED))
    deadline, started = time.monotonic() + seconds, []
    try:
        for arguments in calls:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_call, args=(sender, function, arguments))
            process.start()
            sender.close()
            started.append((process, receiver))
        return [_answer(process, receiver, deadline, seconds) for process, receiver in started]
    finally:
        for process, receiver in started:
            receiver.close()
            process.kill()
            process.join(5)


def _answer(process: Any, receiver: Connection, deadline: float, seconds: float) -> Any:
    if not receiver.poll(max(0.0, deadline - time.monotonic())):
        raise LateError(f"it was stopped after {seconds:.0f} s")
    try:
        answer, error = receiver.recv()
    except EOFError:
        process.join(5)
        code = process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise FailedError(f"its process {how}") from None
    if error is not None:
        raise FailedError(error)
    return answer


def _call(sender: Connection, function: str, arguments: tuple[object, ...]) -> None:
    """Send a function's result, or what it raised.

    Args:
        sender: where to.
        function: MODULE:NAME.
        arguments: for the function.
    """
    answer: tuple[Any, str | None]
    try:
        module, name = function.split(":")
        answer = getattr(importlib.import_module(module), name)(*arguments), None
    except Exception as error:  # whatever torch or a driver raises is what is looked for
        first = root_cause(error)
        answer = None, f"{type(first).__name__}: {first_line(first)}"
    sender.send(answer)
    sender.close()
