"""Ways to compute a step agree here, and the checks see where they do not."""

from contextlib import contextmanager

import pytest
import torch

from ltzoo.doctor import agreement
from ltzoo.doctor.agreement import check_capture, check_side_by_side, compare_shares
from ltzoo.train.run_resources import RunResources

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_the_capture_is_skipped_with_the_reason():
    found = check_capture()
    assert (found.outcome, found.found) == ("skipped", "cpu has no CUDA graphs")


@NEEDS_CUDA
def test_a_captured_step_is_an_eager_one():
    assert check_capture().outcome == "ok"


@NEEDS_CUDA
def test_captured_runs_side_by_side_are_each_alone():
    assert check_side_by_side(True).outcome == "ok"


def test_runs_side_by_side_are_each_alone():
    found = check_side_by_side(False)
    assert found.outcome == "ok", found
    if not torch.cuda.is_available():
        assert found.found == "four runs side by side and each alone have the same weights, bit for bit"


def test_runs_that_share_their_random_numbers_are_found(monkeypatch):
    @contextmanager
    def shared(self):
        yield

    monkeypatch.setattr(RunResources, "in_use", shared)
    found = check_side_by_side(False)
    assert found.outcome == "wrong"
    assert "of the distance that the weights moved; the same run twice differs by 0" in found.found


def judged(moved: torch.Tensor, other: torch.Tensor, itself: float = 0.0):
    return agreement._judge("name", "they", [(moved, other)], float(moved.norm()), lambda: itself)


def test_rounding_is_not_wrong_and_a_difference_is():
    moved = torch.ones(100)
    assert judged(moved, moved).found == "they have the same weights, bit for bit"
    rounded = judged(moved, moved + 1e-6)
    assert (rounded.outcome, "1e-06 of the distance" in rounded.found) == ("ok", True)
    assert judged(moved, moved + 0.01).outcome == "wrong"
    assert judged(moved, moved + 0.01, itself=0.005).outcome == "ok"
    assert judged(moved, moved * float("nan")).outcome == "wrong"
    assert judged(torch.zeros(2), torch.zeros(2)).outcome == "wrong"  # nothing was trained


def test_processes_must_end_with_equal_weights_near_those_of_one():
    def as_bytes(value: float) -> bytes:
        return torch.full((10,), float(value)).numpy().tobytes()

    start, one = as_bytes(0), as_bytes(1)
    assert compare_shares(one, one, one, start, False).found.endswith("bit for bit")
    different = compare_shares(one, as_bytes(1.0000001), one, start, False)
    assert (different.outcome, different.found) == ("wrong", "two processes on the CPU end with different weights")
    assert compare_shares(as_bytes(1.1), as_bytes(1.1), one, start, True).outcome == "wrong"
