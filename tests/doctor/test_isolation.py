"""What a function breaks in a process of its own stays there."""

import os
import time

import pytest

from ltzoo.doctor.isolation import FailedError, LateError, in_own_process, in_own_processes


def test_each_call_has_a_process_of_its_own():
    answers = in_own_processes("tests.doctor.failing:answer", [(1,), (2,)], 120)
    assert [number for number, _ in answers] == [1, 2]
    assert len({os.getpid(), *(process for _, process in answers)}) == 3


def test_an_error_is_named_by_what_came_first():
    with pytest.raises(FailedError, match=r"^RuntimeError: the cause$"):
        in_own_process("tests.doctor.failing:fails", seconds=120)


def test_a_process_that_dies_is_named_by_its_signal():
    with pytest.raises(FailedError, match=r"^its process was killed by SIGSEGV$"):
        in_own_process("tests.doctor.failing:dies", seconds=120)


def test_a_process_that_hangs_is_killed():
    began = time.monotonic()
    with pytest.raises(LateError, match=r"^it was stopped after 1 s$"):
        in_own_process("tests.doctor.failing:hangs", seconds=1)
    assert time.monotonic() - began < 30
