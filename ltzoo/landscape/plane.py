"""The loss on a plane through the weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.errors import InputError
from ltzoo.landscape.curvature import Curvature


@dataclass(frozen=True)
class Plane:
    """The loss around w on a grid, w itself in the middle (after Li et al. 2018, section 3).

    Attributes:
        first: A coordinates a along the first direction, ascending.
        second: B coordinates b along the second direction, ascending.
        loss: (A, B), `loss[i][j]` = L(w + first[i] * first direction + second[j] * second direction); None where it is
            not finite, since JSON has no word for that.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    loss: tuple[tuple[float | None, ...], ...]


def loss_plane(curvature: Curvature, first: Tensor, second: Tensor, reach: float, points: int) -> Plane:
    """Compute the loss at w + a * first + b * second, a and b from -reach to reach.

    BatchNorm's running statistics stay those of w, as in the Hessian: along eigenvectors of it, the loss is
    L(w) + <g, move> + (lambda_1 a^2 + lambda_2 b^2) / 2 to second order. The weights are bit for bit as before when
    this returns or raises, and their storage is not moved.

    Args:
        curvature: the loss; its value is computed once a point, (0, 0) included.
        first: (P,) direction, laid out as in `Curvature.split`.
        second: (P,) the other.
        reach: half the side of the plane, in units of the directions' norms.
        points: along each side, odd, so that w is one of them.

    Raises:
        InputError: an argument makes no sense.
    """
    if not (math.isfinite(reach) and reach > 0):
        raise InputError(f"reach must be finite and above 0, not {reach}; choose one such as 1")
    if points < 3 or points % 2 == 0:
        raise InputError(f"points must be odd and at least 3, so that the weights lie on one, not {points}")
    along, across = (_pieces(curvature, name, vector) for name, vector in (("first", first), ("second", second)))
    half = points // 2
    # The middle is exactly 0, the ends exactly the reach.
    steps = tuple(reach * ((k - half) / half) for k in range(points))
    parameters: list[Tensor] = [*curvature.parameters]
    with _restored(parameters) as origin:
        loss: list[tuple[float | None, ...]] = []
        for a in steps:
            row: list[float | None] = []
            for b in steps:
                _move(parameters, origin, (a, along), (b, across))
                value = curvature.value()
                row.append(value if math.isfinite(value) else None)
            loss.append(tuple(row))
    return Plane(steps, steps, tuple(loss))


def _pieces(curvature: Curvature, name: str, vector: Tensor) -> list[Tensor]:
    """Cut a direction into the parameters' shapes."""
    if vector.shape != (curvature.size,):
        raise InputError(
            f"the {name} direction must be ({curvature.size},), an entry a trainable weight, not "
            f"{tuple(vector.shape)}; take it from the Hessian of this model"
        )
    if not bool(vector.isfinite().all()):
        raise InputError(f"the {name} direction is not finite; take it from weights that have not diverged")
    return curvature.split(vector.to(curvature.device, curvature.dtype))


@torch.no_grad()
def _move(parameters: list[Tensor], origin: list[Tensor], *moves: tuple[float, list[Tensor]]) -> None:
    """Put the parameters at the origin plus multiples of directions, from the origin anew, so that nothing adds up."""
    torch._foreach_copy_(parameters, origin)
    for length, direction in moves:
        torch._foreach_add_(parameters, direction, alpha=length)


@contextmanager
def _restored(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Give a copy of the parameters, and copy it back at the end, whatever moves them or fails."""
    origin = [parameter.detach().clone() for parameter in parameters]
    try:
        yield origin
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, origin)
