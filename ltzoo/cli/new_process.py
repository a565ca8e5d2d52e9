"""Continue a command in a new process, where this one cannot be trusted any more."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def resume_in_new_process(argv: Sequence[str]) -> NoReturn:
    """Replace this process by one that resumes what it was asked to train; process id, output and folder stay.

    Nothing of Python or CUDA is cleaned up: the system does that. `atexit` functions are not called.

    Args:
        argv: the arguments of `ltzoo train`.
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
    line = [sys.executable, "-m", "ltzoo", "train", *argv, *([] if "--resume" in argv else ["--resume"])]
    os.execve(sys.executable, line, os.environ | {"PYTHONPATH": path})
