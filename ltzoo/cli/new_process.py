"""Continue a command in a new process, where this one cannot be trusted any more."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def resume_in_new_process(command: Sequence[str]) -> NoReturn:
    """Replace this process by one that goes on with what it was asked to do; process id, output and folder stay.

    Nothing of Python or CUDA is cleaned up: the system does that. `atexit` functions are not called.

    Args:
        command: what follows `python` on the command line; it must resume what this process has begun.
    """
    for worker in multiprocessing.active_children():
        worker.terminate()
        worker.join(5)
    sys.stdout.flush()
    sys.stderr.flush()
    # An open file of the driver would keep the memory of the device.
    for descriptor in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").is_dir() else []:
        with suppress(OSError):  # that of the listing itself is closed already
            os.set_inheritable(int(descriptor.name), int(descriptor.name) <= 2)
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.execve(sys.executable, [sys.executable, *command], os.environ | {"PYTHONPATH": path})
