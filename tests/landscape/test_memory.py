"""Memory for a Lanczos run: what is needed, what is free, and what to do where it does not suffice."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.landscape.memory import check_memory

CPU = torch.device("cpu")


@pytest.fixture
def free(monkeypatch):
    """Sets the free memory in bytes."""
    return lambda size: monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=size))


def test_needed_and_free_memory_are_reported(free):
    free(10**9)
    said = check_memory(1_000_000, torch.float32, 100, CPU)
    assert said == "up to 100 basis vectors of 1,000,000 weights in float32: 0.43 GB of 1.00 GB free on cpu"


def test_what_does_not_fit_is_refused_with_what_would(free):
    free(10**9)
    with pytest.raises(InputError, match="use --max-steps 117 or less"):
        check_memory(1_000_000, torch.float64, 200, CPU)
    assert check_memory(1_000_000, torch.float64, 117, CPU)
    with pytest.raises(InputError):
        check_memory(1_000_000, torch.float64, 118, CPU)


def test_where_nothing_fits_another_device_is_advised(free):
    free(10**6)
    with pytest.raises(InputError, match="use a device with more memory"):
        check_memory(1_000_000, torch.float32, 2, CPU)


def test_a_basis_has_no_more_vectors_than_weights(free):
    free(10**9)
    assert check_memory(30, torch.float32, 200, CPU).startswith("up to 30 basis vectors")
