"""Von Mises-Fisher distributions on the unit sphere: normalising constant and concentration, for ProCo.

The density of a unit vector u in R^p is C_p(k) * exp(k * <mu, u>) with mean direction mu and concentration k >= 0, and
C_p(k) = k^nu / ((2 * pi)^(p / 2) * I_nu(k)), where nu = p / 2 - 1 and I is the modified Bessel function (Mardia and
Jupp, Directional Statistics, section 9.3.2). I_nu itself overflows for k above 700 and vanishes for large nu, so what
is computed here is g_nu(k) = log(I_nu(k) * k^-nu), which is smooth, also at 0.
"""

import math
from fractions import Fraction
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ORDER = 96
"""From this order on, u_1 to u_7 of Debye's expansion give float64's accuracy: the next term is below 3e-17."""
_TERMS = 7
_LARGEST_CONCENTRATION = 1e5
"""ProCo's code takes this where the estimate is larger, as for a class with a single vector so far."""


def log_normalizer(concentration: Tensor, dimensions: int) -> Tensor:
    """Compute log C_p(k), in float64. Its derivative is -I_(nu + 1)(k) / I_nu(k), which lies in (-1, 0].

    Args:
        concentration: k, of any shape, not below 0.
        dimensions: p, at least 2.

    Returns:
        log C_p(k), of the shape of `concentration`, float64. It can be differentiated twice.

    Raises:
        ValueError: there are fewer than two dimensions.
    """
    if dimensions < 2:
        raise ValueError(f"unit vectors need at least 2 dimensions, not {dimensions}")
    return -_LogBessel.apply(concentration.double(), dimensions / 2 - 1) - dimensions / 2 * math.log(2 * math.pi)


def estimate_concentration(mean_length: Tensor, dimensions: int) -> Tensor:
    """Estimate k from the length R of the mean of unit vectors: p * R / (1 - R^2), at most 1e5.

    So in ProCo's code; the usual estimate is R * (p - R^2) / (1 - R^2) (Banerjee 2005).

    Args:
        mean_length: R, of any shape. Above 1, where rounding can leave it, it counts as 1.
        dimensions: p.
    """
    length = mean_length.clamp(max=1)
    return (dimensions * length / (1 - length.square())).clamp(max=_LARGEST_CONCENTRATION)


class _LogBessel(torch.autograd.Function):
    """g_nu(x) = log(I_nu(x) * x^-nu), whose derivative is r(x) = I_(nu + 1)(x) / I_nu(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: float) -> Tensor:
        value, quotient = _log_bessel(x, order)
        ctx.save_for_backward(x, quotient)
        ctx.order = order
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * _Ratio.apply(*ctx.saved_tensors, ctx.order), None


class _Ratio(torch.autograd.Function):
    """r(x) = x * q(x), q as `_log_bessel` gives it. By Bessel's equation, r' = 1 - (2 * nu + 1) * q - r^2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quotient: Tensor, order: float) -> Tensor:
        ctx.save_for_backward(x, quotient)
        ctx.order = order
        return x * quotient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, quotient = ctx.saved_tensors
        return gradient * (1 - (2 * ctx.order + 1) * quotient - (x * quotient).square()), None, None


def _log_bessel(x: Tensor, order: float) -> tuple[Tensor, Tensor]:
    """Compute g_nu(x) and q_nu(x) = I_(nu + 1)(x) / (x * I_nu(x)) by Miller's recurrence, downward in the order.

    I_(n - 1) = I_(n + 1) + 2 * n / x * I_n (Digital Library of Mathematical Functions, 10.29.1) becomes
    q_(n - 1) = 1 / (2 * n + x^2 * q_n), where nothing overflows and errors shrink; and g_(n - 1) = g_n - log q_(n - 1).
    It begins at the order 96, or at `order` if that is larger, with Debye's expansion rather than with an arbitrary
    value, whose error would not have vanished where x is much larger than the orders passed.
    """
    steps = max(0, math.ceil(_ORDER - order))
    value, quotient = _debye(x, order + steps)
    square = x.square()
    for n in range(steps, 0, -1):
        quotient = 1 / (2 * (order + n) + square * quotient)
        value = value - quotient.log()
    return value, quotient


def _debye(x: Tensor, order: float) -> tuple[Tensor, Tensor]:
    """Compute g_n(x) and q_n(x) for a large order n by Debye's expansion (DLMF 10.41.3 and 10.41.5), uniform in x.

    With z = x / n, s = sqrt(1 + z^2) and t = 1 / s:
    I_n(x) = exp(n * (s + log(z / (1 + s)))) * sqrt(t / (2 * pi * n)) * U, where U = sum over k of u_k(t) / n^k,
    and I_(n + 1) / I_n = I_n' / I_n - 1 / z, in which leading terms cancel; they are taken out by hand.
    """
    s = (1 + (x / order).square()).sqrt()
    t = 1 / s
    u, w = (_evaluate(polynomials, t, order) for polynomials in (_U, _W))
    value = order * (s - (order * (1 + s)).log()) + (t / (2 * math.pi * order)).sqrt().log() + u.log()
    return value, (1 / (1 + s) - t.square() * w / u) / order


def _evaluate(polynomials: list[list[float]], t: Tensor, order: float) -> Tensor:
    """Compute the sum over k of polynomial k at t, divided by order^k."""
    combined = [0.0] * len(polynomials[-1])
    for k, polynomial in enumerate(polynomials):
        for power, coefficient in enumerate(polynomial):
            combined[power] += coefficient / order**k
    total = torch.zeros_like(t)
    for coefficient in reversed(combined):
        total = total * t + coefficient
    return total


def _next(u: list[Fraction], _: object) -> list[Fraction]:
    """Compute the coefficients of u_(k + 1) from those of u_k (DLMF 10.41.9).

    u_(k + 1)(t) = t^2 * (1 - t^2) / 2 * u_k'(t) + 1 / 8 * integral from 0 to t of (1 - 5 * s^2) * u_k(s) ds.
    """
    found = [Fraction(0)] * (len(u) + 3)
    for power, a in enumerate(u):
        found[power + 1] += a * (Fraction(power, 2) + Fraction(1, 8 * (power + 1)))
        found[power + 3] -= a * (Fraction(power, 2) + Fraction(5, 8 * (power + 3)))
    return found


_EXACT = list(accumulate(range(_TERMS), _next, initial=[Fraction(1)]))
_U = [[float(a) for a in u] for u in _EXACT]
"""Coefficients of u_k, by k and power of t."""
_W = [[0.0], *([float(a * (Fraction(1, 2) + power)) for power, a in enumerate(u)] for u in _EXACT[:-1])]
"""Those of w_k = u_(k - 1) / 2 + t * u_(k - 1)', by which v_k = u_k + t * (t^2 - 1) * w_k (DLMF 10.41.9)."""
