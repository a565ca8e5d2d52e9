"""Lanczos with full re-orthogonalisation: from products with a symmetric matrix to its extreme eigenpairs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 2**16
"""Columns that are turned to float64 at once."""

Product = Callable[[Tensor], Tensor]
"""v to H @ v, (P,) to (P,)."""


@dataclass(frozen=True)
class Eigenpair:
    """An eigenvalue, how well it is known, and its vector.

    Attributes:
        value: theta.
        residual: norm of H @ vector - theta * vector, but for rounding: some eigenvalue lies no further from theta.
        vector: (P,) of norm 1.
    """

    value: float
    residual: float
    vector: Tensor


class Lanczos:
    """The Krylov space of a symmetric matrix H and a vector, grown a step at a time.

    After m steps V'HV = T: the columns of V an orthonormal basis of the space, T tridiagonal with diagonal `alphas` and
    off-diagonal `betas`. Each new vector is made orthogonal to all earlier ones, twice, so that rounding brings no
    eigenvalue back as a ghost. All vectors stay on the device.

    Args:
        product: with H.
        start: (P,) the first vector, of any norm above 0.
        most_steps: memory for so many vectors is taken at once, for P if there are fewer.
    """

    def __init__(self, product: Product, start: Tensor, most_steps: int) -> None:
        self.product = product
        self.basis = start.new_empty(min(most_steps, len(start)), len(start))
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.next = start / norm(start)

    @property
    def steps(self) -> int:
        """How many steps were taken, m."""
        return len(self.alphas)

    @property
    def closed(self) -> bool:
        """Whether H maps the space to itself: then every Ritz value is an eigenvalue, and there is no next vector."""
        return self.steps > 0 and self.betas[-1] <= self._rounding()

    @property
    def full(self) -> bool:
        """Whether there is no further step."""
        return self.closed or self.steps == len(self.basis)

    def step(self) -> None:
        """Take a step: one product."""
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
        """Give the Ritz values (m,), ascending, and T's eigenvectors (m, m), a column each; float64 on the CPU."""
        alpha, beta = (torch.tensor(values, dtype=torch.float64) for values in (self.alphas, self.betas[:-1]))
        values, vectors = torch.linalg.eigh(alpha.diag() + beta.diag(1) + beta.diag(-1))
        return values, vectors

    def converged(self, tolerance: float) -> bool:
        """Say whether the lowest and the highest Ritz value lie at eigenvalues, as their residuals by T's vectors say.

        Args:
            tolerance: the largest residual, in units of the Ritz value. Next to the largest one, a value near 0 is
                known to rounding at best, and that is enough.
        """
        values, vectors = self.ritz()
        residuals = self.betas[-1] * vectors[-1].abs()
        floor = self._rounding()
        return all(float(residuals[k]) <= max(tolerance * abs(float(values[k])), floor) for k in (0, -1))

    def extremes(self) -> tuple[Eigenpair, Eigenpair]:
        """Give the lowest and the highest Ritz pair."""
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
        """The size of what rounding leaves of a vector of H's size."""
        return 10 * torch.finfo(self.basis.dtype).eps * max(map(abs, (*self.alphas, *self.betas)))


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """Compute the inner products of rows (m, P) with a vector (P,), summed in float64: (m,) float64.

    A sum of millions of float32 would lose what tells orthogonal vectors from others.
    """
    total = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for columns, part in zip(rows.split(_BLOCK, dim=1), vector.split(_BLOCK), strict=True):
        total += columns.double() @ part.double()
    return total


def norm(vector: Tensor) -> float:
    """Compute a vector's L2 norm, summed in float64."""
    return float(dot(vector[None], vector)) ** 0.5
