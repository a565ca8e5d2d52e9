"""Stop a build by a signal, and terminate its workers."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from ltzoo.errors import Interrupted


@contextmanager
def interrupts() -> Iterator[None]:
    """Raise `Interrupted` for SIGINT, SIGTERM and SIGHUP, even if the parent process ignored them."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def stop(processes: Sequence[subprocess.Popen], within: float) -> None:
    """Terminate workers once, so that they save their last step; then again, and kill those that do not stop.

    SIGTERM, since a process that is still importing ends by it at once and without a traceback; one that trains treats
    it as it treats SIGINT. To that one a second signal means that it shall save nothing more, so most of the time is
    given to the first.

    Args:
        processes: the workers.
        within: seconds after which all have ended.
    """
    for number, share in ((signal.SIGTERM, 0.6), (signal.SIGTERM, 0.2), (signal.SIGKILL, 0.2)):
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(number)
        deadline = time.monotonic() + share * within
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.05)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)
