"""A small network with BatchNorm in float64, and a batch of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.sharpness.methods import make_network


@pytest.fixture
def network() -> Callable[[], nn.Module]:
    """The same float64 network at every call."""
    return make_network


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    """Twenty batches of twelve 4 x 4 images, two of them without tail classes."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for step in range(20):
        images = torch.randn(12, 1, 4, 4, dtype=torch.float64, generator=generator)
        targets = torch.randint(0, 2 if step in (3, 11) else 4, (12,), generator=generator)
        made.append((images, targets))
    return made
