"""How `build.py` trains on this machine: from its options, and from what `ltzoo doctor` found."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from ltzoo.doctor import Report, read_report
from ltzoo.errors import InputError
from ltzoo.train.device import cores, device_name

_AVOIDED = ("capture", "side by side")
"""Checks of the doctor whose failure its advice takes into account; builds go on without what they check."""


@dataclass(frozen=True)
class MachineSettings:
    """How runs are trained on this machine.

    Attributes:
        jobs: number of runs at once.
        one_process: whether they share a process, in which their kernels overlap; separate processes would take turns
            on a GPU.
        threads: CPU threads of each that begins; None on CUDA, unless they are asked for.
        threads_asked: whether `--threads` was given, so that unfinished runs change theirs too.
        precision: of all runs; None for each recipe's own.
        eager: whether no step is run as one graph.
    """

    jobs: int
    one_process: bool
    threads: int | None
    threads_asked: bool
    precision: str | None
    eager: bool

    @property
    def workers(self) -> int:
        """The number of processes."""
        return 1 if self.one_process else self.jobs

    def options(self, resumed: bool) -> list[str]:
        """Return the options of `ltzoo train`.

        Args:
            resumed: whether an unfinished run is continued, which keeps its threads unless others are asked for.
        """
        options = ["--threads", str(self.threads)] if self.threads and (self.threads_asked or not resumed) else []
        options += ["--side-by-side", str(self.jobs)] if self.one_process else []
        options += ["--set", f"precision={self.precision}"] if self.precision else []
        return options + (["--eager"] if self.eager else [])


def machine_settings(arguments: argparse.Namespace) -> MachineSettings:
    """Take what the options give; the rest from the report of `--doctor`, if there is one.

    Args:
        arguments: of `build.py`.

    Raises:
        InputError: the report cannot be read, is of another machine, or says that the machine is not sound.
    """
    cuda = torch.cuda.is_available()
    advice = None if arguments.doctor is None else _sound(read_report(arguments.doctor), arguments.doctor, cuda).advice
    one = None if cuda else 1
    if advice is None:
        jobs = arguments.jobs or (4 if cuda else cores())
        threads = arguments.threads or one, arguments.threads is not None
        return MachineSettings(jobs, cuda, *threads, arguments.precision, arguments.eager)
    return MachineSettings(
        arguments.jobs or advice.jobs,
        cuda,
        arguments.threads or advice.build_threads or one,
        arguments.threads is not None,
        arguments.precision or advice.precision,
        arguments.eager or (cuda and not advice.capture),
    )


def _sound(report: Report, path: Path, cuda: bool) -> Report:
    """Check that a report is of this machine, and that the machine can train."""
    device = torch.device("cuda" if cuda else "cpu")
    here = (device.type, device_name(device), cores())
    found = None if report.machine is None else (report.machine.device, report.machine.name, report.machine.cores)
    if found is not None and found != here:
        there, this = (f"{kind}: {name}, {count} cores" for kind, name, count in (found, here))
        raise InputError(f"{path} is of another machine ({there}; this is {this}); run ltzoo doctor --json {path} here")
    wrong = [f"{check.name}: {check.found}" for check in report.wrong if check.name not in _AVOIDED]
    if wrong:
        raise InputError(f"{path} says what is wrong here: {'; '.join(wrong)}; correct it, or leave --doctor out")
    if report.advice is None:
        raise InputError(f"{path} recommends nothing, since nothing was measured; run ltzoo doctor again")
    return report
