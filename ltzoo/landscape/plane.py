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
    """The loss on a grid around w, with w in the middle (after Li et al. 2018, section 3).

    Attributes:
        first: A coordinates a along the first direction, ascending.
        second: B coordinates b along the second direction, ascending.
        loss: (A, B), `loss[i][j]` = L(w + first[i] * first direction + second[j] * second direction); None if it is
            not finite, which JSON cannot represent.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    loss: tuple[tuple[float | None, ...], ...]


def loss_plane(curvature: Curvature, first: Tensor, second: Tensor, reach: float, points: int) -> Plane:
    """Compute the loss at w + a * first + b * second for a and b from -reach to reach.

    BatchNorm keeps the running statistics of w, as in the Hessian. Along eigenvectors of the Hessian, the loss is
    L(w) + <g, move> + (lambda_1 a^2 + lambda_2 b^2) / 2 to second order. The weights are restored bit for bit, also
    after an error, and keep their storage.

    Args:
        curvature: the loss; its value is computed once per point, including (0, 0).
        first: (P,) first direction, laid out as in `Curvature.split`.
        second: (P,) second direction.
        reach: half the side length of the plane, in units of the directions' norms.
        points: points along each side; odd, so that w is one of them.

    Raises:
        InputError: an argument is out of range or does not fit.
    """
    if not (math.isfinite(reach) and reach > 0):
        raise InputError(f"reach must be finite and above 0, not {reach}; choose one such as 1")
    if points < 3 or points % 2 == 0:
        raise InputError(f"points must be odd and at least 3, so that the weights lie on one, not {points}")
    along, across = (_pieces(curvature, name, vector) for name, vector in (("first", first), ("second", second)))
    half = points // 2
    # The middle is exactly 0 and the ends are exactly the reach.
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
    """Split a direction into the parameters' shapes."""
    if vector.shape != (curvature.size,):
        raise InputError(
            f"the {name} direction must be ({curvature.size},), one entry per trainable weight, not "
            f"{tuple(vector.shape)}; take it from the Hessian of this model"
        )
    if not bool(vector.isfinite().all()):
        raise InputError(f"the {name} direction is not finite; use weights that have not diverged")
    return curvature.split(vector.to(curvature.device, curvature.dtype))


@torch.no_grad()
def _move(parameters: list[Tensor], origin: list[Tensor], *moves: tuple[float, list[Tensor]]) -> None:
    """Set the parameters to the origin plus multiples of directions, without accumulating rounding errors."""
    torch._foreach_copy_(parameters, origin)
    for length, direction in moves:
        torch._foreach_add_(parameters, direction, alpha=length)


@contextmanager
def _restored(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield a copy of the parameters; afterwards copy it back, also after an error."""
    origin = [parameter.detach().clone() for parameter in parameters]
    try:
        yield origin
    finally:
        with torch.no_grad():
            torch._foreach_copy_(parameters, origin)
