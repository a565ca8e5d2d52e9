"""A small network with BatchNorm in float64, and a batch of it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

COUNTS = torch.tensor([60, 30, 9, 4])


@pytest.fixture
def network() -> Callable[[], nn.Module]:
    """The same float64 network at every call."""

    def make() -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 4)]
        return nn.Sequential(*layers).double()

    return make


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
