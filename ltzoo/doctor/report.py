"""The report of an examination: its records, its text, and the JSON file that `hub/build.py --doctor` reads."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ltzoo.errors import InputError, first_line, shown
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import read_json

Outcome = Literal["ok", "skipped", "wrong"]

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
"""As recipes name them."""

_WIDTH = 100


@dataclass(frozen=True)
class Machine:
    """What the machine is.

    Attributes:
        device: type of the device that training uses: cpu, cuda, ...
        name: its product name.
        count: number of such devices.
        memory_gb: its memory in GB; that of the machine on CPUs.
        free_gb: the part of it that is free.
        capability: compute capability on CUDA, the instruction set that torch uses on CPUs.
        driver: version of the driver; None on CPUs.
        cores: CPU cores that this process may use.
        versions: versions of Python, torch and ltzoo's other packages, and of the CUDA that torch was built for.
    """

    device: str
    name: str
    count: int
    memory_gb: float
    free_gb: float
    capability: str
    driver: str | None
    cores: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Speed:
    """How fast a precision is.

    Attributes:
        precision: as recipes name it.
        gflops: GFLOP/s of matrix products; None if they fail.
        step_ms: milliseconds of a training step; None if the precision cannot be trained in.
        threads: CPU threads of both; None on other devices.
        captured: whether the step is a CUDA graph.
        why: why there is no step.
        unfinished: whether it was stopped for lack of time.
    """

    precision: str
    gflops: float | None
    step_ms: float | None
    threads: int | None
    captured: bool
    why: str = ""
    unfinished: bool = False


@dataclass(frozen=True)
class Check:
    """Whether something is as it must be.

    Attributes:
        name: what is checked, in a word.
        outcome: ok, skipped or wrong.
        found: what was found, or why it was skipped.
        unfinished: whether it was stopped for lack of time.
    """

    name: str
    outcome: Outcome
    found: str
    unfinished: bool = False


@dataclass(frozen=True)
class Advice:
    """The settings to use on this machine.

    Attributes:
        precision: of training.
        threads: CPU threads of a run that is trained alone; None on other devices.
        capture: whether steps are run as CUDA graphs.
        jobs: runs at once, for `hub/build.py`.
        build_threads: CPU threads of each of them.
        reasons: one for each setting: its name, then why.
    """

    precision: str
    threads: int | None
    capture: bool
    jobs: int
    build_threads: int | None
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What an examination found.

    Attributes:
        machine: what the machine is; None if that could not be found out.
        copy_gbs: GB/s of copies in the device's memory, bytes read and written.
        speeds: one for each precision and number of threads.
        checks: what was checked.
        advice: the settings to use; None if nothing could be measured.
        seconds: how long the examination took.
        longer: the seconds to give it instead, if some of it is unfinished.
    """

    machine: Machine | None
    copy_gbs: float | None
    speeds: tuple[Speed, ...]
    checks: tuple[Check, ...]
    advice: Advice | None
    seconds: float
    longer: int = 600

    @property
    def unfinished(self) -> int:
        """How many measurements and checks were stopped for lack of time."""
        return sum(speed.unfinished for speed in self.speeds) + sum(check.unfinished for check in self.checks)

    @property
    def wrong(self) -> list[Check]:
        """What is not as it must be."""
        return [check for check in self.checks if check.outcome == "wrong"]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return asdict(self)

    def text(self) -> str:
        """Return what the command prints."""
        blocks = [_machine(self.machine)] if self.machine else []
        rows = [["precision", "threads", "GFLOP/s", "ms per step", ""], *map(_speed, self.speeds)]
        blocks += [_columns(rows)] if self.speeds else []
        blocks += [f"copies in memory: {self.copy_gbs:.1f} GB/s"] if self.copy_gbs else []
        blocks += ["\n".join(_hanging(f"{check.name:<13} {check.outcome:<8} ", check.found) for check in self.checks)]
        blocks += [_advice(self.advice)] if self.advice else []
        count, of = len(self.wrong), len(self.checks)
        verdict = f"{count} of {of} checks {'is' if count == 1 else 'are'} wrong" if count else "nothing is wrong"
        skipped = sum(check.outcome == "skipped" and not check.unfinished for check in self.checks)
        verdict += f", {skipped} skipped" if skipped else ""
        if late := self.unfinished:
            verdict += (
                f"; {late} measurement{'s' if late > 1 else ''} unfinished: --seconds {self.longer} lets "
                f"{'them' if late > 1 else 'it'} end"
            )
        blocks.append(f"{verdict}; {self.seconds:.0f} s")
        return "\n\n".join(blocks)


def read_report(path: Path) -> Report:
    """Read the JSON file of `ltzoo doctor --json`.

    Raises:
        InputError: it is missing, damaged or something else.
    """
    try:
        document = _mapping(read_json(path))
        machine, advice = document["machine"], document["advice"]
        report = Report(
            None if machine is None else _record(Machine, machine),
            _checked("copy_gbs", document["copy_gbs"], float | None),
            tuple(_record(Speed, one) for one in _checked("speeds", document["speeds"], list)),
            tuple(_record(Check, one) for one in _checked("checks", document["checks"], list)),
            None if advice is None else _record(Advice, advice),
            _checked("seconds", document["seconds"], float),
        )
        if report.advice:
            for name in ("jobs", "threads", "build_threads"):
                count = getattr(report.advice, name)
                if count is not None and count < 1:
                    raise ContentError(f"{name} cannot be {count}, only a whole number from 1 on")
            if report.advice.precision not in PRECISIONS:
                raise ContentError(f"the precision {shown(report.advice.precision)} is unknown")
    except (ContentError, KeyError, TypeError) as error:
        if isinstance(error.__cause__, OSError):
            raise InputError(f"{path} cannot be read: {error}; write it by ltzoo doctor --json {path}") from error
        reason = f"it has no {error}" if isinstance(error, KeyError) else first_line(error)
        raise InputError(f"{path} is no report of ltzoo doctor ({reason}); write it by ltzoo doctor --json") from error
    return report


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ContentError(f"{shown(value)} is no object with named values")
    return value


def _record(kind: type, value: object) -> Any:
    """Make a record; fields of later versions are left out."""
    document, hints = _mapping(value), get_type_hints(kind)
    return kind(**{name: _checked(name, document[name], hint) for name, hint in hints.items() if name in document})


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Return a value of a field if its type is that of the field."""
    if not _fits(value, hint):
        raise ContentError(f"{name} cannot be {shown(value)}")
    return value


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value, as JSON has it, is of a type that the records use."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is UnionType:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is Mapping:
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _machine(machine: Machine) -> str:
    many = f"{machine.count} x " if machine.count > 1 else ""
    driver = f", driver {machine.driver}" if machine.driver else ""
    lines = [
        ("device", f"{machine.device}: {many}{machine.name}, {machine.capability}{driver}"),
        ("memory", f"{machine.memory_gb:.1f} GB, {machine.free_gb:.1f} free"),
        ("cores", f"{machine.cores}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    ]
    return "\n".join(_hanging(f"{key:<10} ", value) for key, value in lines)


def _speed(speed: Speed) -> list[str]:
    return [
        speed.precision,
        "" if speed.threads is None else str(speed.threads),
        "-" if speed.gflops is None else f"{speed.gflops:.4g}",
        "-" if speed.step_ms is None else in_ms(speed.step_ms),
        speed.why or ("as one graph" if speed.captured else ""),
    ]


def in_ms(ms: float) -> str:
    """Format milliseconds: three digits, more before the point."""
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def _advice(advice: Advice) -> str:
    options = [f"--set precision={advice.precision}"]
    options += [] if advice.threads is None else [f"--threads {advice.threads}"]
    eager = ["--eager"] if "capture" in advice.reasons else []
    build = [f"--jobs {advice.jobs}"] + ([] if advice.build_threads is None else [f"--threads {advice.build_threads}"])
    lines = [f"recommended: ltzoo train {' '.join(options + eager)}"]
    lines += [f"             hub/build.py {' '.join(build + eager)}"]
    return "\n".join([*lines, *(_hanging(f"  {key:<10} ", why) for key, why in advice.reasons.items())])


def _columns(rows: list[list[str]]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    cells = ([row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in (1, 2, 3)), row[4].rstrip()] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in cells)


def _hanging(head: str, text: str) -> str:
    return textwrap.fill(head + text, _WIDTH, subsequent_indent=" " * len(head), break_long_words=False)
