"""The settings that follow from measurements."""

from dataclasses import replace

import pytest

from ltzoo.doctor.advice import advise
from ltzoo.doctor.report import Check, Machine, Speed

CPU = Machine("cpu", "AMD EPYC", 1, 25.0, 17.5, "AVX512", None, 4, {})
GPU = Machine("cuda", "H200", 1, 141.0, 140.0, "compute capability 9.0", "570.1", 16, {})
SOUND = [Check("capture", "ok", ""), Check("side by side", "ok", "")]


def speed(precision: str, ms: float | None, threads: int | None = None) -> Speed:
    return Speed(precision, 1.0, ms, threads, False)


def on_cpu(*speeds: Speed, machine: Machine = CPU):
    found = advise(machine, speeds, [Check("capture", "skipped", "")], {})
    assert found is not None
    return found


@pytest.mark.parametrize(("ms", "precision"), [(85.0, "float32"), (83.0, "bfloat16"), (None, "float32")])
def test_another_precision_must_be_faster_by_far(ms, precision):
    found = on_cpu(speed("float32", 100.0, 1), speed("bfloat16", ms, 1))
    assert found.precision == precision


def test_a_lone_run_takes_the_fastest_number_of_threads_and_a_build_one_per_process():
    found = on_cpu(speed("float32", 100.0, 1), speed("float32", 60.0, 2), speed("float32", 110.0, 4))
    assert (found.threads, found.build_threads, found.jobs, found.capture) == (2, 1, 4, False)
    assert found.reasons["threads"] == "2: ms per step in float32 by threads: 1: 100, 2: 60, 4: 110"


def test_a_recommendation_without_a_choice_says_so():
    late = [replace(speed(*one), unfinished=True) for one in (("float32", None, 2), ("bfloat16", None, 1))]
    found = on_cpu(speed("float32", 100.0, 1), *late).reasons
    assert found["threads"].endswith(": 1: 100; the only one whose measurement finished, unfinished with 2")
    only = "float32: 100; the only one whose measurement finished, unfinished: bfloat16. A precision other than float32"
    assert only in found["precision"]
    assert "finished" not in str(on_cpu(speed("float32", 100.0, 1), speed("bfloat16", 90.0, 1)).reasons)


def test_runs_at_once_fit_into_the_memory():
    found = on_cpu(speed("float32", 100.0, 1), machine=replace(CPU, free_gb=3.1))
    assert found.jobs == 2
    assert found.reasons["jobs"] == "2: 3.1 GB are free, and each takes about 1.5 GB"
    assert on_cpu(speed("float32", 100.0, 1), machine=replace(CPU, free_gb=0.2)).jobs == 1


def test_without_a_step_there_is_no_advice():
    assert advise(CPU, [speed("float32", None, 1)], [], {}) is None


@pytest.mark.parametrize(
    ("rates", "jobs"),
    [({}, 1), ({1: 100.0}, 1), ({1: 100.0, 2: 190.0, 4: 220.0, 8: 225.0}, 2), ({1: 100.0, 2: 110.0, 4: 130.0}, 4)],
)
def test_on_a_gpu_as_many_runs_as_gain_much(rates, jobs):
    found = advise(GPU, [speed("float32", 10.0), speed("bfloat16", 5.0)], SOUND, rates)
    assert found is not None
    assert (found.precision, found.threads, found.build_threads, found.capture) == ("bfloat16", None, None, True)
    assert found.jobs == jobs


def test_what_failed_a_check_is_not_used():
    checks = [Check("capture", "wrong", ""), Check("side by side", "wrong", "")]
    found = advise(GPU, [speed("float32", 10.0)], checks, {})
    assert found is not None
    assert (found.capture, found.jobs) == (False, 1)
    assert found.reasons["capture"] == "off: captured steps are not sound here, see the checks"
    assert found.reasons["jobs"] == "1: runs side by side are not sound here, see the checks"
