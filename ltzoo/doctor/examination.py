"""The examination: measures and checks, each in a process of its own, and what follows from them.

Functions that use a device are called by name, so that this process need not import torch.
"""

import math
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from ltzoo.doctor.advice import advise
from ltzoo.doctor.isolation import FailedError, LateError, in_own_process, in_own_processes
from ltzoo.doctor.report import PRECISIONS, Check, Machine, Report, Speed

_SECONDS = {"machine": 45.0, "check": 20.0, "memory": 10.0, "precision": 12.0, "jobs": 20.0}
"""After which a part is given up; the first includes the imports."""
_AT_LEAST = 2.0
"""Seconds that a part is given even if the whole examination is late."""
_WHOLE = 48.0
"""Seconds from the start of the process after which parts have only that. All are for an examination of 60 seconds."""
_SLOWER = 1.5
"""More threads are not tried once a step takes this many times as long as with fewer."""
_JOBS = (1, 2, 4, 8)


def examine(say: Callable[[str], None], seconds: float = 60.0) -> Report:
    """Examine the machine.

    Args:
        say: called with a line as each part begins.
        seconds: the time that it may take; on a machine that has nothing else to do, half a minute is enough.
    """
    return _Examination(say, seconds / 60).run()


class _Examination:
    """The parts of an examination, and what each leaves for the next.

    Args:
        say: see `examine`.
        patience: factor of all limits of time.
    """

    def __init__(self, say: Callable[[str], None], patience: float) -> None:
        self.say, self.patience, self.checks = say, patience, list[Check]()

    def run(self) -> Report:
        """Do all parts."""
        machine: Machine | None = self.part("machine", "ltzoo.doctor.machine:describe_machine")
        if machine is None:
            return Report(None, None, (), tuple(self.checks), None, _seconds_of_process())
        self.check("device", "ltzoo.doctor.machine:check_device")
        on_gpu = machine.device == "cuda"
        self.check("capture", "ltzoo.doctor.agreement:check_capture")
        captured = on_gpu and self.outcome("capture") == "ok"
        self.check("side by side", "ltzoo.doctor.agreement:check_side_by_side", captured)
        self.check_processes(machine.count if on_gpu else 0)
        copies = self.part("memory", "ltzoo.doctor.speed:copies_gbs")
        speeds = self.speeds(machine, captured)
        advice = advise(machine, speeds, self.checks, {})
        if on_gpu and advice is not None and self.outcome("side by side") == "ok":
            rest = advice.precision, captured, _JOBS, _SECONDS["jobs"] / 2
            advice = advise(
                machine, speeds, self.checks, self.part("jobs", "ltzoo.doctor.speed:steps_at_once", *rest) or {}
            )
        longer = round(600 * max(1.0, self.patience))  # ten times as long as by default, or as was given
        return Report(machine, copies, tuple(speeds), tuple(self.checks), advice, _seconds_of_process(), longer)

    def speeds(self, machine: Machine, captured: bool) -> Sequence[Speed]:
        """Time each precision: float32 with several numbers of threads, the others with the fastest of these."""
        if machine.device == "cuda":
            found = [self.speed(precision, None, captured) for precision in PRECISIONS]
        else:
            found = []
            for count in thread_counts(machine.cores):
                found.append(self.speed("float32", count, captured))
                if _ms(found[-1]) > _SLOWER * min(map(_ms, found)):
                    break  # threads that find no free core wait for each other
            best = min(found, key=_ms)
            found += [self.speed(precision, best.threads, captured) for precision in ("bfloat16", "float16")]
        return found

    def speed(self, precision: str, threads: int | None, captured: bool) -> Speed:
        """Time a precision; one that fails is recorded with its reason, and is wrong if it is float32."""
        self.say(f"measuring {precision}" + ("" if threads is None else f" with {_counted(threads, 'thread')}"))
        seconds = self.at_most(_SECONDS["precision"])
        try:
            return in_own_process("ltzoo.doctor.speed:measure_precision", precision, threads, captured, seconds=seconds)
        except FailedError as error:
            if precision == "float32" and not isinstance(error, LateError):
                self.checks.append(Check("training", "wrong", f"no step in float32: {error}"))
            return Speed(precision, None, None, threads, False, str(error), isinstance(error, LateError))

    def check(self, name: str, function: str, *arguments: object) -> None:
        """Make a check; an error in it is what is wrong."""
        self.say(f"checking {name}")
        self.checks.append(self.checked(name, lambda seconds: in_own_process(function, *arguments, seconds=seconds)))

    def check_processes(self, gpus: int) -> None:
        """Check that two processes agree with one: on two GPUs, or on the CPU."""
        self.say("checking processes")
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
        shares = [(0, 2, port, gpus > 1), (1, 2, port, gpus > 1), (0, 1, port, gpus > 1)]

        def compare(seconds: float) -> Check:
            (first, start), (second, _), (one, _) = in_own_processes(
                "ltzoo.doctor.agreement:train_share", shares, seconds
            )
            weights = first, second, one, start
            return in_own_process("ltzoo.doctor.agreement:compare_shares", *weights, gpus > 1, seconds=seconds)

        self.checks.append(self.checked("processes", compare))

    def checked(self, name: str, check: Callable[[float], Check]) -> Check:
        """Return what a check found, or how it failed."""
        seconds = self.at_most(_SECONDS["check"])
        try:
            return check(seconds)
        except LateError as error:
            # A machine that is busy is slow, not wrong.
            wrong = seconds == self.patience * _SECONDS["check"]
            return Check(name, "wrong" if wrong else "skipped", str(error), unfinished=not wrong)
        except FailedError as error:
            return Check(name, "wrong", str(error))

    def part(self, name: str, function: str, *arguments: object) -> Any:
        """Measure something; None if that fails, which is a check that went wrong."""
        self.say(f"measuring {name}")
        try:
            return in_own_process(function, *arguments, seconds=self.at_most(_SECONDS[name]))
        except FailedError as error:
            # The first part only imports torch and looks around: where that takes too long, nothing can be done.
            busy = isinstance(error, LateError) and name != "machine"
            self.checks.append(Check(name, "skipped" if busy else "wrong", str(error), unfinished=busy))
            return None

    def at_most(self, seconds: float) -> float:
        """Return the seconds that a part may take."""
        return max(
            self.patience * _AT_LEAST, min(self.patience * seconds, self.patience * _WHOLE - _seconds_of_process())
        )

    def outcome(self, name: str) -> str:
        """Return how a check ended."""
        return next(check.outcome for check in self.checks if check.name == name)


def thread_counts(cores: int) -> list[int]:
    """List the numbers of threads to try: 1, 2, 4 and so on, and one per core."""
    return [*(2**k for k in range(cores.bit_length()) if 2**k < cores), cores]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _ms(speed: Speed) -> float:
    return math.inf if speed.step_ms is None else speed.step_ms


def _seconds_of_process() -> float:
    """Return the seconds since this process began, imports included."""
    return time.time() - psutil.Process().create_time()
