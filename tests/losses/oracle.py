"""What the oracles of losses share: random batches in float64, and losses compared in value and gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ltzoo.losses import Outputs

COUNTS = [60, 30, 9, 4]
TARGETS = [0, 1, 3, 0, 2, 0, 1, 3, 0]


def random(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    """Numbers around 0 that a gradient can be taken by."""
    values = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (scale * values).requires_grad_()


def mean_of(losses: Sequence[Tensor]) -> Tensor:
    return sum(losses, torch.zeros((), dtype=torch.float64)) / len(losses)


def agree(
    loss: nn.Module, outputs: Outputs, expected: Callable[[], Tensor], inputs: Sequence[Tensor], targets: Sequence[int]
) -> None:
    """Check a loss of the batch and its gradients by `inputs` against a plain implementation."""
    losses = loss(outputs, torch.tensor(targets))
    assert losses.shape == (len(targets),)
    found, wanted = losses.mean(), expected()
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    pairs = (torch.autograd.grad(value, inputs, allow_unused=True) for value in (found, wanted))
    for ours, theirs in zip(*pairs, strict=True):
        zero = torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(
            *torch.broadcast_tensors(zero if ours is None else ours, zero if theirs is None else theirs),
            rtol=1e-10,
            atol=1e-10,
        )
