"""A process that trains runs for `build.py`, and ends with it."""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_order import Job

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that a process gets when its parent ends."""
_ERROR = "ltzoo train: error: "
_NEXT_REASON = re.compile(r"; (?=[\w.-]+\.seed\d+[: ])")
"""Where the reason of another run begins in an error's line."""


@dataclass
class Worker:
    """A process that trains runs.

    Attributes:
        process: `python -m ltzoo train`.
        jobs: the runs that it trains, without those that are collected.
        log: its output, after that of earlier workers.
        log_offset: offset of its own output in the log.
        shared: whether it was started with several runs.
        alone: whether no other worker may run beside it.
    """

    process: subprocess.Popen
    jobs: list[Job]
    log: Path
    log_offset: int
    shared: bool = False
    alone: bool = False

    @classmethod
    def start(cls, command: Sequence[str], jobs: Sequence[Job], log: Path, alone: bool) -> "Worker":
        """Start a process.

        Args:
            command: the command line.
            jobs: the runs that it trains.
            log: the file for its output.
            alone: see the attribute.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            log_offset = file.tell()
            # In its own session, so that only this process sends it signals.
            process = subprocess.Popen(
                command, stdout=file, stderr=file, start_new_session=True, preexec_fn=_end_with_parent()
            )
        return cls(process, list(jobs), log, log_offset, len(jobs) > 1, alone)

    def output(self) -> str:
        """Return its output."""
        return self.log.read_bytes()[self.log_offset :].decode("utf-8", "replace")

    def has_started(self, folder: Path) -> bool:
        """Return whether it has started the run in a folder: a run first says where it is."""
        return f"{folder}: " in self.output()

    def failure_reason(self, job: Job) -> str:
        """Return why a run has failed: the signal that ended the process, or what it said last, of this run if it can.

        Args:
            job: the run.
        """
        code = self.process.returncode
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        lines = [line for line in self.output().splitlines() if line.strip()]
        # A worker of another build can write to the same file.
        errors = [line for line in lines if line.startswith("ltzoo train:")] if code == 2 else []
        # One line has the reasons of all runs that failed.
        reasons = [reason for line in errors for reason in _NEXT_REASON.split(line.removeprefix(_ERROR))]
        own = re.compile(rf"{re.escape(job[0].name)}[./]seed{job[1]}(?!\d)")
        of_run = [_ERROR + reason for reason in reasons if own.search(reason)]
        return (of_run or errors or lines or ["it printed nothing"])[-1]


def _end_with_parent() -> Callable[[], None] | None:
    """Return what a new process does first, so that it is killed when this one ends, however it ends; Linux only."""
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None, use_errno=True).prctl

    def end_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended in between
            os.kill(os.getpid(), signal.SIGKILL)

    return end_with_parent
