"""Signals that ask a training command to stop: it finishes the step, saves and leaves."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist

from ltzoo.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_SAME = 1.0
"""Seconds within which a second signal is the same request: a launcher passes on what the terminal sends to all."""


class Interrupts:
    """Receives SIGINT and SIGTERM inside a `with` block; a signal that the process ignores stays ignored.

    Outside `deferred`, a signal raises `Interrupted` at once. Inside, the first one is kept in `number`, and a second
    one raises.

    Attributes:
        number: the signal that was kept, by this process or another one of the run; None if there was none.
        at_once: whether nothing more may be saved: a second signal came, or this process cannot compute any more.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.at_once = False
        self.deferring, self.received = 0, 0.0
        self.holding = False
        self.pending: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others cannot receive signals
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.holding:
            self.pending = number
            return
        if not self.deferring:
            raise Interrupted(number)
        if self.number is None:
            self.number, self.received = number, time.monotonic()
            if os.environ.get("RANK", "0") == "0":
                text = f"{signal.Signals(number).name}: training stops after this step; a second one stops it at once\n"
                with suppress(OSError):
                    os.write(2, text.encode())  # print may be at work already
        elif time.monotonic() > self.received + _SAME:
            self.at_once = True
            raise Interrupted(number)

    @property
    def saving(self) -> bool:
        """Whether a run that is closed within an epoch saves its steps."""
        return self.number is not None and not self.at_once

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep the first signal inside a `with` block, whose code must look at `number`."""
        self.deferring += 1  # runs side by side are in such blocks at the same time
        try:
            yield
        finally:
            self.deferring -= 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no signal, first or second, interrupt a `with` block; the last one is received at its end."""
        self.holding = True
        try:
            yield
        finally:
            self.holding = False
            if self.pending is not None:
                number, self.pending = self.pending, None
                self._receive(number, None)


class Agreement:
    """Lets all processes stop after the same step, whichever of them received a signal.

    Args:
        processes: their number.
    """

    def __init__(self, processes: int) -> None:
        self.group: dist.ProcessGroup | None = None
        if processes > 1:
            # On the CPU, so that no step waits for the GPU.
            self.group = dist.group.WORLD
            if dist.get_backend() != "gloo":
                self.group = dist.new_group(backend="gloo")  # type: ignore[assignment]  # this process is in it

    def __call__(self, number: int | None) -> int | None:
        """Return the signal that any process received; None if there was none. Each process must call it."""
        if self.group is None:
            return number
        largest = torch.tensor(number or 0)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest) or None
