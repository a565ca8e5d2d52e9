"""Lanczos with full re-orthogonalisation for the extreme eigenpairs of a symmetric matrix."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 2**16
"""Columns converted to float64 at a time."""

Product = Callable[[Tensor], Tensor]
"""Maps v to H @ v, both (P,)."""


@dataclass(frozen=True)
class Eigenpair:
    """An approximate eigenvalue, its residual and its eigenvector.

    Attributes:
        value: theta.
        residual: norm of H @ vector - theta * vector; apart from rounding, an eigenvalue is within this distance of
            theta.
        vector: (P,) of norm 1.
    """

    value: float
    residual: float
    vector: Tensor


class Lanczos:
    """The Krylov space of a symmetric matrix H and a vector, extended one step at a time.

    After m steps V'HV = T, where the columns of V are an orthonormal basis of the space and T is tridiagonal with
    diagonal `alphas` and off-diagonal `betas`. Each new vector is orthogonalised twice against all earlier ones, so
    that rounding produces no spurious copies of eigenvalues. All vectors stay on the device.

    Args:
        product: multiplies with H.
        start: (P,) the first vector, of any norm above 0.
        most_steps: maximum number of steps; memory for min(most_steps, P) vectors is allocated at once.
    """

    def __init__(self, product: Product, start: Tensor, most_steps: int) -> None:
        self.product = product
        self.basis = start.new_empty(min(most_steps, len(start)), len(start))
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.next = start / norm(start)

    @property
    def steps(self) -> int:
        """Number of steps so far, m."""
        return len(self.alphas)

    @property
    def closed(self) -> bool:
        """Whether the space is invariant under H: every Ritz value is an eigenvalue, and there is no next vector."""
        return self.steps > 0 and self.betas[-1] <= self._rounding()

    @property
    def full(self) -> bool:
        """Whether no further step is possible."""
        return self.closed or self.steps == len(self.basis)

    def step(self) -> None:
        """Take one step, with one product."""
        m = self.steps
        self.basis[m] = self.next
        new = self.product(self.next)
        self.alphas.append(float(dot(self.next[None], new)))
        known = self.basis[: m + 1]
        for _ in range(2):
            new = new - known.T @ dot(known, new).to(new)
        self.betas.append(norm(new))
        if not self.closed:
            self.next = new / self.betas[-1]

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Return the Ritz values (m,), ascending, and T's eigenvectors (m, m) as columns; float64 on the CPU."""
        alpha, beta = (torch.tensor(values, dtype=torch.float64) for values in (self.alphas, self.betas[:-1]))
        values, vectors = torch.linalg.eigh(alpha.diag() + beta.diag(1) + beta.diag(-1))
        return values, vectors

    def converged(self, tolerance: float) -> bool:
        """Whether the lowest and the highest Ritz value have converged, judged by their residuals computed from T.

        Args:
            tolerance: the largest relative residual. A value near 0 beside a large one cannot be more accurate than
                rounding allows; that accuracy also counts as converged.
        """
        values, vectors = self.ritz()
        residuals = self.betas[-1] * vectors[-1].abs()
        floor = self._rounding()
        return all(float(residuals[k]) <= max(tolerance * abs(float(values[k])), floor) for k in (0, -1))

    def extremes(self) -> tuple[Eigenpair, Eigenpair]:
        """Return the lowest and the highest Ritz pair."""
        values, vectors = self.ritz()
        basis = self.basis[: self.steps]
        lowest, highest = (
            Eigenpair(
                float(values[k]),
                self.betas[-1] * abs(float(vectors[-1, k])),
                vectors[:, k].to(basis) @ basis,
            )
            for k in (0, -1)
        )
        return lowest, highest

    def _rounding(self) -> float:
        """Magnitude of rounding errors in vectors of the norm of H."""
        return 10 * torch.finfo(self.basis.dtype).eps * max(map(abs, (*self.alphas, *self.betas)))


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """Compute the inner products of rows (m, P) with a vector (P,), summed in float64: (m,) float64.

    A float32 sum of millions of terms would be too inaccurate to check orthogonality.
    """
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for columns, part in zip(rows.split(_BLOCK, dim=1), vector.split(_BLOCK), strict=True):
        total += columns.double() @ part.double()
    return total


def norm(vector: Tensor) -> float:
    """Compute a vector's L2 norm, summed in float64."""
    return float(dot(vector[None], vector)) ** 0.5
