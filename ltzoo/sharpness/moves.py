"""How parameters move away from w, in place: up a gradient, or by Gaussian noise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Gradient = list[Tensor | None]
"""One entry a parameter; None where the loss does not depend on it."""


@torch.no_grad()
def climb(parameters: Sequence[Tensor], direction: Gradient, radius: float | Tensor) -> None:
    """Move the parameters by radius * direction / norm(direction); a zero direction moves nothing.

    Args:
        parameters: what is moved.
        direction: the gradient to follow; it is used up.
        radius: length of the move, in units of the parameters' global L2 norm; a scalar on their device, too.
    """
    used = [(parameter, step) for parameter, step in zip(parameters, direction, strict=True) if step is not None]
    if not used:
        return
    moving, steps = [parameter for parameter, _ in used], [step for _, step in used]
    norm = nn.utils.get_total_norm(steps)
    # Below this, the factor would not be finite; what is infinite or no number already stays so.
    smallest = torch.finfo(norm.dtype).tiny * 2**20
    torch._foreach_mul_(steps, torch.where(norm > smallest, norm.reciprocal() * radius, 0.0))
    torch._foreach_add_(moving, steps)


@torch.no_grad()
def shake_alike(parameters: Sequence[Tensor], radius: float, generator: torch.Generator | None) -> None:
    """Add Gaussian noise of one standard deviation everywhere, whose global L2 norm is `radius` in the mean square.

    Args:
        parameters: what is moved.
        radius: norm of the noise.
        generator: of the noise, on the parameters' device; torch's own if None.
    """
    std = radius / sum(parameter.numel() for parameter in parameters) ** 0.5
    for parameter in parameters:
        parameter.add_(_normal(parameter, generator), alpha=std)


@torch.no_grad()
def shake_filters(parameters: Sequence[Tensor], radius: float, generator: torch.Generator | None) -> None:
    """Add Gaussian noise of standard deviation radius * norm(filter) to each filter (Bisla 2022, section 4).

    Args:
        parameters: what is moved. A filter is a row along the first dimension; a vector is one filter as a whole.
        radius: standard deviation, in units of the filter's L2 norm.
        generator: of the noise, on the parameters' device; torch's own if None.
    """
    for parameter in parameters:
        dims = tuple(range(1, parameter.ndim)) or None
        norm = torch.linalg.vector_norm(parameter, dim=dims, keepdim=parameter.ndim > 1)
        parameter.add_(_normal(parameter, generator).mul_(norm), alpha=radius)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normal noise, in an order that the memory format does not change."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
