"""Stop a build: treat termination signals as an interrupt, and pass the interrupt on to the workers."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGINT, SIGTERM and SIGHUP, even if the parent process ignored them."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def stop(processes: Sequence[subprocess.Popen], within: float) -> None:
    """Interrupt workers once, so that they can save their last step; terminate and then kill those that do not stop.

    To a training process a second signal means that it shall save nothing more, so most of the time is given to the
    first. A module that is being imported can swallow an interrupt; the second signal ends such a process.

    Args:
        processes: the workers.
        within: seconds after which all have ended.
    """
    for number, share in ((signal.SIGINT, 0.6), (signal.SIGTERM, 0.2), (signal.SIGKILL, 0.2)):
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(number)
        deadline = time.monotonic() + share * within
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.05)
