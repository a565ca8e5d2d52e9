"""Gradients as lists, one entry a parameter: made one's own, added up, summed over processes."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ltzoo.sharpness.moves import Gradient


def own(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Gradient:
    """Give each entry memory of its own, laid out as its parameter is, as `.grad` has it after `loss.backward()`.

    Autograd hands out expanded tensors, one tensor twice, and the layout of the operation at hand; fused optimizers
    walk through parameter and gradient side by side and do not look.
    """
    seen: set[int] = set()
    owned: Gradient = []
    for gradient, parameter in zip(gradients, parameters, strict=True):
        if gradient is not None:
            place = gradient.untyped_storage().data_ptr()
            if place in seen or gradient.stride() != parameter.stride():
                gradient = torch.empty_like(parameter).copy_(gradient)
            seen.add(place)
        owned.append(gradient)
    return owned


def add(total: Gradient, more: Gradient) -> Gradient:
    """Add to a total, in place; both are used up."""
    both = [(a, b) for a, b in zip(total, more, strict=True) if a is not None and b is not None]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    return [b if a is None else a for a, b in zip(total, more, strict=True)]


def sum_over(group: dist.ProcessGroup, gradients: Sequence[Gradient], like: Sequence[Tensor], *more: Tensor) -> None:
    """Sum gradients over processes, in place and in one call.

    An entry that is None in every process stays None; where another process has one, it is filled.

    Args:
        group: the processes.
        gradients: each with an entry a parameter.
        like: the parameters.
        *more: tensors that are summed in the same call.
    """
    zero, one = like[0].new_zeros(1), like[0].new_ones(1)
    entries = [(gradient, k, gradient[k]) for gradient in gradients for k in range(len(like))]
    here = [like[k].new_zeros(like[k].shape) if entry is None else entry for _, k, entry in entries]
    used = [zero if entry is None else one for _, _, entry in entries]
    flat = torch.cat([tensor.reshape(-1) for tensor in (*here, *more, *used)])
    dist.all_reduce(flat, group=group)
    summed = flat.split([tensor.numel() for tensor in (*here, *more)] + [len(used)])
    for tensor, part in zip((*here, *more), summed[:-1], strict=True):
        tensor.copy_(part.view(tensor.shape))
    missing = [index for index, (_, _, entry) in enumerate(entries) if entry is None]
    # Asking the device which ones another process has makes it wait; without unused parameters nobody asks.
    elsewhere = summed[-1].tolist() if missing else []
    for index in missing:
        if elsewhere[index]:
            gradient, k, _ = entries[index]
            gradient[k] = here[index]
