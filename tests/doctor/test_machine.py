"""What the machine is, and a GPU that torch cannot use."""

import pytest
import torch

from ltzoo.doctor import machine
from ltzoo.doctor.machine import check_device, describe_machine
from ltzoo.train.device import cores


def test_the_machine_is_described():
    found = describe_machine()
    assert found.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert (found.cores, found.versions["torch"]) == (cores(), torch.__version__)
    assert found.memory_gb >= found.free_gb > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that torch can use")
@pytest.mark.parametrize(
    ("has_gpu", "built", "hidden", "outcome", "match"),
    [
        (False, "13.0", None, "ok", "there is no NVIDIA GPU"),
        (True, None, None, "wrong", "torch is built without CUDA; install one with it"),
        (True, "13.0", None, "wrong", "torch cannot use it: Found no NVIDIA driver"),
        (True, "13.0", "", "ok", "CUDA_VISIBLE_DEVICES= hides the GPU"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_wrong_and_the_reason_is_said(
    monkeypatch, has_gpu, built, hidden, outcome, match
):
    def init():
        raise RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU\nmore")

    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: has_gpu)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = check_device()
    assert (found.outcome, match in found.found) == (outcome, True), found


@pytest.mark.parametrize(
    ("arch", "runs"),
    [
        ("sm_90", True),
        ("sm_90a", True),
        ("sm_89", False),
        ("sm_80", False),
        ("sm_100", False),
        ("compute_80", True),
        ("compute_120", False),
        ("gfx942", True),
    ],
)
def test_kernels_run_on_the_devices_that_nvidia_says(arch, runs):
    assert machine._runs(arch, 9, 0) is runs
