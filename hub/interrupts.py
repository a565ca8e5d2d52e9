"""Interrupts: taken from whoever wants a build to end, and handed on to what it started."""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[None]:
    """Take being terminated or hung up on for an interrupt, and an interrupt for one though a shell had it ignored."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def stop(processes: Sequence[subprocess.Popen]) -> None:
    """Interrupt workers until they have stopped: an import can swallow one interrupt. In the end, end them."""
    for number in (*[signal.SIGINT] * 12, signal.SIGTERM, signal.SIGKILL):
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(number)
        deadline = time.monotonic() + 5
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.05)
