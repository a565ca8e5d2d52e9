"""Gradients as lists of tensors, one per parameter: copied where memory is shared, added, summed over processes."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ltzoo.sharpness.ascent import Gradient, reciprocal


def with_own_memory(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Gradient:
    """Give each entry its own memory, laid out as its parameter is, as `.grad` has it after `loss.backward()`.

    Autograd returns expanded tensors, the same tensor twice, and the memory layout of whichever operation came last.
    Fused optimizers walk through parameter and gradient side by side without checking strides.
    """
    seen: set[int] = set()
    copied: Gradient = []
    for gradient, parameter in zip(gradients, parameters, strict=True):
        if gradient is not None:
            address = gradient.untyped_storage().data_ptr()
            if address in seen or gradient.stride() != parameter.stride():
                gradient = torch.empty_like(parameter).copy_(gradient)
            seen.add(address)
        copied.append(gradient)
    return copied


def add(total: Gradient, more: Gradient) -> Gradient:
    """Add two gradients in place; the result may share memory with both."""
    both = [(a, b) for a, b in zip(total, more, strict=True) if a is not None and b is not None]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    return [b if a is None else a for a, b in zip(total, more, strict=True)]


@torch.no_grad()
def subtract_orthogonal(total: Gradient, other: Gradient, weight: float) -> Gradient:
    """Subtract, in place, `weight` times the part of another gradient that is orthogonal to a gradient."""
    both = [(a, b) for a, b in zip(total, other, strict=True) if a is not None and b is not None]
    if both:
        norm = torch.nn.utils.get_total_norm([a for a in total if a is not None])
        inverse = reciprocal(norm)
        # Products of normalised entries: squares of a scaled gradient could overflow.
        inner = torch.stack([((a * inverse) * b).sum() for a, b in both]).sum()
        along = [a for a in total if a is not None]
        torch._foreach_mul_(along, 1 + weight * inner * inverse)
        torch._foreach_sub_([a for a, _ in both], [b for _, b in both], alpha=weight)
    return [b.mul(-weight) if a is None and b is not None else a for a, b in zip(total, other, strict=True)]


def sum_over_processes(
    group: dist.ProcessGroup,
    gradients: Sequence[Gradient],
    parameters: Sequence[Sequence[Tensor]],
    more: Tensor | None = None,
) -> None:
    """Sum gradients over processes, in place and in one call.

    An entry that is None in every process stays None; where another process has one, it is filled.

    Args:
        group: the processes.
        gradients: the gradients to sum.
        parameters: for each gradient, its parameters, in the same order.
        more: a tensor that is summed in the same call, in place.
    """
    entries = [
        (gradient, k, gradient[k], parameter)
        for gradient, own_parameters in zip(gradients, parameters, strict=True)
        for k, parameter in enumerate(own_parameters)
    ]
    tensors = [like.new_zeros(like.shape) if entry is None else entry for _, _, entry, like in entries]
    zero, one = tensors[0].new_zeros(1), tensors[0].new_ones(1)
    used = [zero if entry is None else one for _, _, entry, _ in entries]
    others = [] if more is None else [more]
    flat = torch.cat([*(tensor.reshape(-1) for tensor in (*tensors, *others)), *used])
    dist.all_reduce(flat, group=group)
    *summed, used_by = flat.split([tensor.numel() for tensor in (*tensors, *others)] + [len(used)])
    for tensor, part in zip((*tensors, *others), summed, strict=True):
        tensor.copy_(part.view(tensor.shape))
    missing = [index for index, (_, _, entry, _) in enumerate(entries) if entry is None]
    # Reading which parameters other processes use makes the host wait, so it is done only where one is unused here.
    processes = used_by.tolist() if missing else []
    for index in missing:
        if processes[index]:
            gradient, k, _, _ = entries[index]
            gradient[k] = tensors[index]
