"""How the parameters move away from w, in place: along a gradient, or by Gaussian noise."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Gradient = list[Tensor | None]
"""One entry per parameter; None where the loss does not depend on it."""


@torch.no_grad()
def gradient_ascent(parameters: Sequence[Tensor], gradient: Gradient, radius: float | Tensor) -> None:
    """Move the parameters by radius * gradient / norm(gradient); a zero gradient moves nothing.

    Args:
        parameters: the parameters to move.
        gradient: the gradient to follow; its memory is overwritten.
        radius: length of the move: the L2 norm over these parameters together. A number, or a scalar on their device.
    """
    used = [(parameter, step) for parameter, step in zip(parameters, gradient, strict=True) if step is not None]
    if not used:
        return
    moving, steps = [parameter for parameter, _ in used], [step for _, step in used]
    norm = nn.utils.get_total_norm(steps)
    # Below this the factor would not be finite. A gradient that is infinite or NaN stays so.
    smallest = torch.finfo(norm.dtype).tiny * 2**20
    torch._foreach_mul_(steps, torch.where(norm > smallest, norm.reciprocal() * radius, 0.0))
    torch._foreach_add_(moving, steps)


@torch.no_grad()
def add_isotropic_noise(parameters: Sequence[Tensor], radius: float, generator: torch.Generator | None) -> None:
    """Add Gaussian noise of the same standard deviation everywhere, whose L2 norm is `radius` in the mean square.

    Args:
        parameters: the parameters to move.
        radius: norm of the noise over these parameters together.
        generator: of the noise, on the parameters' device; torch's default if None.
    """
    std = radius / sum(parameter.numel() for parameter in parameters) ** 0.5
    for parameter in parameters:
        parameter.add_(_normal(parameter, generator), alpha=std)


@torch.no_grad()
def add_filter_noise(parameters: Sequence[Tensor], radius: float, generator: torch.Generator | None) -> None:
    """Add Gaussian noise of standard deviation radius * norm(filter) to each filter (Bisla 2022, section 4).

    Args:
        parameters: the parameters to move. A filter is a row along the first dimension; a vector is one filter.
        radius: standard deviation, in units of the filter's L2 norm.
        generator: of the noise, on the parameters' device; torch's default if None.
    """
    for parameter in parameters:
        dims = tuple(range(1, parameter.ndim)) or None
        norm = torch.linalg.vector_norm(parameter, dim=dims, keepdim=parameter.ndim > 1)
        parameter.add_(_normal(parameter, generator).mul_(norm), alpha=radius)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normal noise, in an order that does not depend on the memory format."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
