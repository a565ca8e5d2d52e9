"""If one of the processes that train a run together fails, all of them end; none waits hours for it."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from accelerate import PartialState
from torch.distributed import Store
from torch.distributed.distributed_c10d import _get_default_store

from ltzoo.errors import Interrupted, first_line

_GRACE = 10.0
"""Seconds after which a process that another one's failure does not reach by itself is ended."""
_CLEANING = 3.0
"""Seconds that such a process then has to remove what it wrote in vain, by itself or by `abandon`."""
_SAME = 2.0
"""Seconds in which processes that fail for the same reason fail."""
_LOOK = 0.5
"""Seconds between two looks at whether another process has failed."""
_calls = count()
"""Each use has keys of its own; all processes make the same uses in the same order."""


@contextmanager
def fail_together(state: PartialState, abandon: Callable[[], None]) -> Iterator[None]:
    """Let an error or a signal in one process end the others too, whatever their group's backend notices of it.

    Gloo sees closed connections, NCCL only a timeout, here of hours. A process that fails writes its reason into the
    store that the launcher gave them. The others end with exit code 2; the main process prints the reason.

    Args:
        state: this process and their number.
        abandon: called in another thread before this process is ended while its main thread waits for the others.
    """
    if state.num_processes == 1:
        yield
        return
    store, key = _get_default_store().clone(), f"ltzoo/failed/{next(_calls)}"
    left = threading.Event()
    watch = threading.Thread(target=_watch, args=(store, key, state.process_index, left, abandon), daemon=True)
    watch.start()
    try:
        try:
            yield
        finally:
            left.set()
            # Python aborts if it ends while a thread is inside the store's client.
            watch.join()
    except BaseException as error:
        if not (isinstance(error, Interrupted) and error.agreed):
            _announce(store, key, state.process_index, f"{type(error).__name__}: {first_line(error)}")
        raise


def _announce(store: Store, key: str, rank: int, reason: str) -> None:
    """Tell the others why this process fails, and print it if the main process, which prints its own, does not fail."""
    try:
        store.set(f"{key}/{rank}", reason)
        store.set(key, f"process {rank} has failed: {reason}")
        deadline = time.monotonic() + _SAME
        while rank and not store.check([f"{key}/0"]):
            if time.monotonic() > deadline:
                print(f"error: process {rank} has failed: {reason}", file=sys.stderr, flush=True)
                return
            time.sleep(_LOOK / 5)
    except RuntimeError:
        return  # the process that keeps the store has ended already


def _watch(store: Store, key: str, rank: int, left: threading.Event, abandon: Callable[[], None]) -> None:
    """End this process if another one has failed, unless it fails or finishes by itself."""
    try:
        while not left.wait(_LOOK):
            if store.check([key]):
                if left.wait(_GRACE):
                    return
                if rank == 0:
                    print(f"error: {store.get(key).decode()}; all end", file=sys.stderr, flush=True)
                threading.Thread(target=abandon, daemon=True).start()  # it can hang too, as a file system can
                if left.wait(_CLEANING):
                    return
                os._exit(2)
    except RuntimeError:
        return  # the process that keeps the store has ended: the launcher and the others see that
