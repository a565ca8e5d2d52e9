"""`ltzoo doctor`, whole: on this machine nothing is wrong; what fails is said and decides the exit code."""

import json
import os
import subprocess
import sys

import pytest

from ltzoo.cli import doctor
from ltzoo.doctor import examination, read_report
from ltzoo.doctor.examination import thread_counts
from ltzoo.doctor.isolation import FailedError, LateError
from ltzoo.doctor.report import Check, Machine, Speed
from tests.launch import ROOT


def test_the_command_examines_this_machine(tmp_path):
    file = tmp_path / "doctor.json"
    done = subprocess.run(
        [sys.executable, "-m", "ltzoo", "doctor", "--seconds", "240", "--json", str(file)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    report = read_report(file)
    assert done.stdout == report.text() + "\n"
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    # On a busy machine parts are skipped, which is said.
    outcomes = {check.name: check.outcome for check in report.checks}
    assert set(outcomes) >= {"device", "capture", "side by side", "processes"}
    assert report.machine is not None and report.machine.cores >= 1
    assert {speed.precision for speed in report.speeds} >= {"float32", "bfloat16", "float16"}
    assert "Traceback" not in done.stderr


MACHINE = Machine("cuda", "H200", 1, 141.0, 140.0, "compute capability 9.0", "570.1", 16, {})


@pytest.fixture
def a_gpu(monkeypatch):
    """A GPU as the functions that use it would describe it; what they return or raise can be changed."""
    answers = {
        "ltzoo.doctor.machine:describe_machine": lambda: MACHINE,
        "ltzoo.doctor.machine:check_device": lambda: Check("device", "ok", ""),
        "ltzoo.doctor.agreement:check_capture": lambda: Check("capture", "ok", ""),
        "ltzoo.doctor.agreement:check_side_by_side": lambda captured: Check(
            "side by side", "ok", f"captured {captured}"
        ),
        "ltzoo.doctor.agreement:compare_shares": lambda *weights: Check("processes", "ok", ""),
        "ltzoo.doctor.speed:copies_gbs": lambda: 4000.0,
        "ltzoo.doctor.speed:measure_precision": lambda precision, threads, captured: Speed(
            precision, 1.0, 2.0, threads, captured
        ),
        "ltzoo.doctor.speed:steps_at_once": lambda *arguments: {1: 100.0, 2: 190.0, 4: 350.0, 8: 360.0},
    }
    monkeypatch.setattr(examination, "in_own_process", lambda name, *arguments, seconds: answers[name](*arguments))
    monkeypatch.setattr(examination, "in_own_processes", lambda name, calls, seconds: [(b"", b"")] * len(calls))
    return answers


def test_on_a_gpu_all_parts_follow_each_other(a_gpu, tmp_path, capsys):
    assert doctor.main(["--json", str(tmp_path / "doctor.json")]) == 0
    report = json.loads((tmp_path / "doctor.json").read_text())
    assert [speed["precision"] for speed in report["speeds"]] == ["float32", "tf32", "bfloat16", "float16"]
    assert all(speed["captured"] for speed in report["speeds"])
    assert (report["advice"]["jobs"], report["advice"]["capture"]) == (4, True)
    assert "captured True" in capsys.readouterr().out


def test_what_breaks_is_wrong_and_the_rest_goes_on_without_it(a_gpu, capsys):
    def fail(*arguments):
        raise FailedError("AcceleratorError: CUDA error: an illegal memory access was encountered")

    a_gpu["ltzoo.doctor.agreement:check_capture"] = fail
    assert doctor.main([]) == 1
    said = capsys.readouterr().out
    assert "capture       wrong    AcceleratorError: CUDA error: an illegal memory access" in said
    assert "captured False" in said
    assert "--eager" in said
    assert "1 of 4 checks is wrong" in said


@pytest.mark.parametrize(
    "error", [FailedError("ImportError: libcudart.so: cannot open"), LateError("it was stopped after 45 s")]
)
def test_a_machine_that_cannot_be_described_ends_the_examination(error, a_gpu, capsys):
    def fail():
        raise error

    a_gpu["ltzoo.doctor.machine:describe_machine"] = fail
    assert doctor.main([]) == 1
    assert f"machine       wrong    {error}" in capsys.readouterr().out


def test_a_float32_that_fails_is_wrong_and_one_that_is_slow_is_not(a_gpu, capsys):
    def late(*arguments):
        raise LateError("it was stopped after 2 s")

    a_gpu["ltzoo.doctor.speed:measure_precision"] = late
    assert doctor.main([]) == 0
    assert "4 measurements unfinished: --seconds 600 lets them end" in capsys.readouterr().out

    def fail(*arguments):
        raise FailedError("OutOfMemoryError: CUDA out of memory.")

    a_gpu["ltzoo.doctor.speed:measure_precision"] = fail
    assert doctor.main([]) == 1
    assert "training      wrong    no step in float32: OutOfMemoryError" in capsys.readouterr().out


def test_all_limits_of_time_grow_with_that_of_the_whole(a_gpu, monkeypatch):
    given = []

    def call(name, *arguments, seconds):
        given.append(seconds)
        return a_gpu[name](*arguments)

    monkeypatch.setattr(examination, "_seconds_of_process", lambda: 1.0)
    monkeypatch.setattr(examination, "in_own_process", call)
    assert doctor.main([]) == 0
    usual, count = list(given), len(given)
    assert doctor.main(["--seconds", "120"]) == 0
    assert given[count:] == [2 * seconds for seconds in usual]


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_threads_double(cores, counts):
    assert thread_counts(cores) == counts


def test_a_file_that_cannot_be_written_is_refused_before_the_work(capsys):
    with pytest.raises(SystemExit):
        doctor.main(["--json", "nowhere/doctor.json"])
    assert "nowhere/doctor.json cannot be written" in capsys.readouterr().err
