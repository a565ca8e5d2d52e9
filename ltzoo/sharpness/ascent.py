"""How the parameters move away from w: along a gradient, or by Gaussian noise."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

Gradient = list[Tensor | None]
"""One entry per parameter; None where the loss does not depend on it."""


@dataclass(frozen=True)
class Move(ABC):
    """How the gradient that a row ascends becomes eps, the move of the parameters. A zero gradient moves nothing.

    Attributes:
        of_mean: whether the length of eps depends on the norm of the gradient, which is then that of the weighted mean
            loss of the row's own images: the row's ascent, divided by the sum of its weights.
    """

    of_mean: ClassVar[bool] = False

    @abstractmethod
    def eps(
        self, parameters: Sequence[Tensor], names: Sequence[str], gradient: Gradient, radius: float | Tensor
    ) -> Gradient:
        """Compute the move.

        Args:
            parameters: the parameters of the row's scope, at w.
            names: their names in the model.
            gradient: the gradient to follow, at w; its memory may be overwritten. Unless `of_mean`, it may be scaled.
            radius: the row's radius. A number, or a scalar on the parameters' device.

        Returns:
            What to add to each parameter; None where the loss does not depend on it.
        """


@dataclass(frozen=True)
class L2Move(Move):
    """SAM's move (Foret 2021): eps = radius * g / norm(g), with the L2 norm over all parameters together."""

    @torch.no_grad()
    def eps(
        self, parameters: Sequence[Tensor], names: Sequence[str], gradient: Gradient, radius: float | Tensor
    ) -> Gradient:
        """See `Move.eps`."""
        steps = [step for step in gradient if step is not None]
        if steps:
            torch._foreach_mul_(steps, reciprocal(nn.utils.get_total_norm(steps)) * radius)
        return gradient


@dataclass(frozen=True)
class AdaptiveMove(Move):
    """ASAM's move (Kwon 2021): eps = radius * T^2 g / norm(T g), in units of each weight's own size.

    T is diagonal: |w| + eta for the parameters with `weight` in their name in the model, BatchNorm's and attention's
    `in_proj_weight` too, and 1 for all others, such as biases, as in the authors' code.

    Attributes:
        eta: added to |w|, so that weights near 0 can move.
    """

    eta: float

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"eta must be finite and not below 0, not {self.eta}")

    @torch.no_grad()
    def eps(
        self, parameters: Sequence[Tensor], names: Sequence[str], gradient: Gradient, radius: float | Tensor
    ) -> Gradient:
        """See `Move.eps`."""
        used = [(p, name, step) for p, name, step in zip(parameters, names, gradient, strict=True) if step is not None]
        if not used:
            return gradient
        sizes = [(step, p.abs().add_(self.eta)) for p, name, step in used if "weight" in name]
        for step, size in sizes:
            step.mul_(size)
        steps = [step for _, _, step in used]
        norm = nn.utils.get_total_norm(steps)
        for step, size in sizes:
            step.mul_(size)
        torch._foreach_mul_(steps, reciprocal(norm) * radius)
        return gradient


@dataclass(frozen=True)
class NormRatioMove(Move):
    """CC-SAM's move (Zhou 2023, CVPR): its length follows from the norms of the weights and of the gradient.

    norm(eps) = radius * D^(1/4) * sqrt(norm(w) / norm(g)) along the gradient g of the row's weighted mean loss, where D
    is the number of parameters in the row's scope. The smaller the gradient, the longer the move.

    Attributes:
        per_tensor: whether each tensor has its own norms and its own move, as in CC-SAM's code; otherwise the norms are
            those of all tensors together, as in GKP-GSA's.
    """

    per_tensor: bool = True
    of_mean: ClassVar[bool] = True

    @torch.no_grad()
    def eps(
        self, parameters: Sequence[Tensor], names: Sequence[str], gradient: Gradient, radius: float | Tensor
    ) -> Gradient:
        """See `Move.eps`."""
        used = [(p, step) for p, step in zip(parameters, gradient, strict=True) if step is not None]
        count = sum(parameter.numel() for parameter in parameters)
        for together in [[pair] for pair in used] if self.per_tensor else [used] if used else []:
            steps = [step for _, step in together]
            of_weights, of_gradient = nn.utils.get_total_norm([p for p, _ in together]), nn.utils.get_total_norm(steps)
            inverse = reciprocal(of_gradient)
            torch._foreach_mul_(steps, (of_weights * inverse).sqrt() * inverse * (radius * count**0.25))
        return gradient


def reciprocal(norm: Tensor) -> Tensor:
    """Return 1 / norm; 0 if that would not be finite. A gradient that is infinite or NaN stays so, times any factor."""
    return torch.where(norm > torch.finfo(norm.dtype).tiny * 2**20, norm.reciprocal(), 0.0)


@torch.no_grad()
def add_eps(parameters: Sequence[Tensor], eps: Gradient) -> None:
    """Move parameters, in place."""
    used = [(parameter, step) for parameter, step in zip(parameters, eps, strict=True) if step is not None]
    if used:
        torch._foreach_add_([parameter for parameter, _ in used], [step for _, step in used])


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


@torch.no_grad()
def add_clamped_noise(parameters: Sequence[Tensor], radius: float, generator: torch.Generator | None) -> None:
    """Add radius * clamp(z, -1, 1) to each parameter, with z Gaussian of standard deviation 1/3 (GNM, Li 2024).

    Args:
        parameters: the parameters to move.
        radius: the farthest that a single weight moves, in its own units.
        generator: of the noise, on the parameters' device; torch's default if None.
    """
    for parameter in parameters:
        parameter.add_(_normal(parameter, generator).div_(3).clamp_(-1, 1), alpha=radius)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normal noise, in an order that does not depend on the memory format."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
