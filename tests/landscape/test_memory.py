from types import SimpleNamespace

import psutil
import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.landscape.memory import check_memory

CPU = torch.device("cpu")


@pytest.fixture
def free(monkeypatch):
    """Sets how many bytes are free."""
    return lambda size: monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=size))


def test_it_says_what_is_taken_and_what_is_free(free):
    free(10**9)
    said = check_memory(1_000_000, torch.float32, 100, CPU)
    assert (
        said == "up to 100 basis vectors of 1,000,000 weights in float32: 0.43 GB of the 1.00 GB that are free on cpu"
    )


def test_what_does_not_fit_is_refused_with_what_would(free):
    free(10**9)
    with pytest.raises(InputError, match="allow 117 at most with --max-steps"):
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
