"""Signals and decoding workers: a signal to the whole process group must not end them before the step is saved."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.utils.data
from torch.utils.data import Dataset

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CAN_WAIT = hasattr(signal, "sigwaitinfo")
"""Linux has it, macOS does not: there, torch's workers end with a SIGTERM from whomever."""


class DataLoader(torch.utils.data.DataLoader):
    """A torch loader whose workers end with their parent, or when it ends them, and not by others' signals.

    `timeout`, batch systems and Ctrl-C send signals to all processes of a group. The parent stops after its step, for
    which it needs the workers; torch would raise at once that a worker has exited unexpectedly.
    """

    def __init__(self, dataset: Dataset, **keywords: Any) -> None:
        super().__init__(dataset, worker_init_fn=_outlive_signals, **keywords)

    def __iter__(self) -> Iterator:  # type: ignore[override]  # torch's own iterator
        """Start the workers, if they do not persist, with blocked signals: what they inherit leaves no gap."""
        with _blocked():
            return super().__iter__()


@contextmanager
def _blocked() -> Iterator[None]:
    """Keep signals pending inside a `with` block."""
    if not _CAN_WAIT:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _outlive_signals(worker: int) -> None:
    """Ignore SIGINT, and each SIGTERM that the parent has not sent: torch and Python end workers with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _CAN_WAIT:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_with_parents_signal, daemon=True).start()


def _end_with_parents_signal() -> None:
    # A handler of Python's does not learn who has sent the signal.
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
