"""The settings that follow from what was measured and checked."""

import math
from collections.abc import Mapping, Sequence

from ltzoo.doctor.report import Advice, Check, Machine, Speed, in_ms

_GAIN = 1.2
"""A precision below float32, or more runs at once, must be this many times as fast."""
_GB_PER_RUN = 1.5
"""Memory of a process that trains ResNet-32 on CIFAR."""


def advise(
    machine: Machine, speeds: Sequence[Speed], checks: Sequence[Check], at_once: Mapping[int, float]
) -> Advice | None:
    """Choose precision, threads, capture and the number of runs at once.

    Args:
        machine: what the machine is.
        speeds: of each precision.
        checks: what was checked before.
        at_once: number of runs side by side to steps per second of all of them; empty if not measured.

    Returns:
        The settings; None if no precision can be trained in.
    """
    outcomes = {check.name: check.outcome for check in checks}
    best = _fastest(speeds)
    if best is None or best.step_ms is None:
        return None
    reasons = {"precision": _why_precision(speeds, best)}
    if machine.device == "cuda":
        capture = outcomes.get("capture") == "ok"
        if not capture:
            reasons["capture"] = "off: captured steps are not sound here, see the checks"
        jobs = _jobs_on_gpu(at_once)
        if outcomes.get("side by side") == "wrong":
            reasons["jobs"] = "1: runs side by side are not sound here, see the checks"
        elif at_once:
            measured = ", ".join(f"{count}: {rate:.4g}" for count, rate in at_once.items())
            reasons["jobs"] = f"{jobs}: steps per second of all runs at once, by their number: {measured}"
        else:
            reasons["jobs"] = "1: more were not measured"
        return Advice(best.precision, None, capture, jobs, None, reasons)
    by_threads = [
        f"{one.threads}: {in_ms(one.step_ms)}" for one in speeds if one.precision == "float32" and one.step_ms
    ]
    reasons["threads"] = f"{best.threads}: ms per step in float32 by threads: {', '.join(by_threads)}"
    late = [str(one.threads) for one in speeds if one.precision == "float32" and one.unfinished]
    if late:
        alone = "the only one whose measurement finished, " if len(by_threads) == 1 else ""
        reasons["threads"] += f"; {alone}unfinished with {', '.join(late)}"
    fits = max(1, math.floor(machine.free_gb / _GB_PER_RUN))
    jobs = min(machine.cores, fits)
    reasons["jobs"] = f"{jobs}: a process with one thread on each of {machine.cores} cores"
    if fits < machine.cores:
        reasons["jobs"] = f"{jobs}: {machine.free_gb:.1f} GB are free, and each takes about {_GB_PER_RUN} GB"
    return Advice(best.precision, best.threads, False, jobs, 1, reasons)


def _fastest(speeds: Sequence[Speed]) -> Speed | None:
    """Return the fastest of float32, or of another precision that is faster by far."""
    trained = [speed for speed in speeds if speed.step_ms is not None]
    plain = [speed for speed in trained if speed.precision == "float32"] or trained
    if not plain:
        return None
    fastest_plain = min(plain, key=lambda speed: speed.step_ms or math.inf)
    fastest = min(trained, key=lambda speed: speed.step_ms or math.inf)
    gain = (fastest_plain.step_ms or 0.0) / (fastest.step_ms or math.inf)
    return fastest if gain >= _GAIN else fastest_plain


def _why_precision(speeds: Sequence[Speed], best: Speed) -> str:
    by_precision: dict[str, float] = {}
    for speed in speeds:
        if speed.step_ms is not None:
            by_precision[speed.precision] = min(speed.step_ms, by_precision.get(speed.precision, math.inf))
    measured = ", ".join(f"{precision}: {in_ms(ms)}" for precision, ms in by_precision.items())
    late = list(dict.fromkeys(one.precision for one in speeds if one.unfinished and one.precision not in by_precision))
    said = f"{best.precision}: ms per step by precision: {measured}"
    if late:
        alone = "the only one whose measurement finished, " if len(by_precision) == 1 else ""
        said += f"; {alone}unfinished: {', '.join(late)}"
    return f"{said}. A precision other than float32 is recommended only if it is at least {_GAIN} times as fast."


def _jobs_on_gpu(at_once: Mapping[int, float]) -> int:
    """Return the smallest number of runs after which more gain little."""
    chosen = 1
    for count, rate in at_once.items():
        if rate >= _GAIN * at_once[chosen]:
            chosen = count
    return chosen
