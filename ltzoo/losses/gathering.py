"""All-gather of a batch over processes, differentiable."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, slice]:
    """Gather a batch from all processes, in their order; they may hold different numbers of images.

    In the backward pass, each process gets the sum over all processes of the gradients of its own rows. So a loss that
    each process computes for its own images, from the rows of all, has the gradients that one process with the whole
    batch would have, once they are summed over the processes (as `ltzoo.sharpness.perturbed_backward` does). All
    processes must take part in every pass, forward and backward.

    Args:
        rows: (b, ...) floating point, of this process.
        targets: (b,) int64.

    Returns:
        Rows (B, ...) and targets (B,) of all processes, and the slice of them that is this process's. With a single
        process, or without a process group, they are what was given.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows, targets, slice(0, len(rows))
    own = torch.tensor(len(rows), device=rows.device)
    found = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(found, own)
    sizes = [int(size) for size in found]
    begin = sum(sizes[: dist.get_rank()])
    return _Gather.apply(rows, sizes), _gather(targets, sizes), slice(begin, begin + len(rows))


class _Gather(torch.autograd.Function):
    """Rows of all processes; the backward pass sums their gradients and keeps this process's part."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        return _gather(rows, sizes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.split(ctx.sizes)[dist.get_rank()], None


def _gather(rows: Tensor, sizes: list[int]) -> Tensor:
    """Gather rows, padded to the largest process's number while they travel."""
    padded = rows.new_zeros(max(sizes), *rows.shape[1:])
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])
