"""Closed forms on a quadratic, L(w) = w'Hw / 2 (proofs 1, 2 and 3 of the step)."""

import pytest
import torch
from torch import nn

from ltzoo.sharpness import SAM, NoPerturbation
from tests.sharpness.methods import step

EIGENVALUES = torch.tensor([4.0, 0.5, -0.5, -8.0], dtype=torch.float64)
COUNTS = torch.tensor([1])


class Quadratic(nn.Module):
    """L(w) = sum of lambda_i w_i^2 / 2: in this basis each parameter is a mode."""

    def __init__(self, start: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(start.clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (EIGENVALUES * self.w**2).sum().div(2).expand(len(images))


def perturbed(start: torch.Tensor, method) -> torch.Tensor:
    model = Quadratic(start)
    data = torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64)
    step(model, lambda value, _: value, *data, method.table(COUNTS))
    return model.w.grad


@pytest.mark.parametrize("rho", [0.05, 0.5, 5.0])
def test_sams_gradient_is_g_plus_rho_over_norm_times_hessian_g(rho):
    start = torch.tensor([0.3, -1.0, 0.7, 0.2], dtype=torch.float64)
    g = EIGENVALUES * start
    torch.testing.assert_close(perturbed(start, NoPerturbation()), g, rtol=0, atol=1e-15)
    expected = g + rho / g.norm() * EIGENVALUES * g
    torch.testing.assert_close(perturbed(start, SAM(rho=rho)), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("radius_over_norm", [0.1, 0.3, 0.5, 3.0, 6.0])
def test_component_along_an_eigenvector_is_multiplied_by_one_plus_rho_lambda(radius_over_norm):
    """Rangwani 2022, Theorem 2, on both sides of lambda = -2/rho, where |1 + rho * lambda| passes 1."""
    start = torch.tensor([0.3, -1.0, 0.7, 0.2], dtype=torch.float64)
    g = EIGENVALUES * start
    factor = perturbed(start, SAM(rho=float(radius_over_norm * g.norm()))) / g
    torch.testing.assert_close(factor, 1 + radius_over_norm * EIGENVALUES, rtol=1e-12, atol=1e-12)
    attenuated = (EIGENVALUES < 0) & (EIGENVALUES * radius_over_norm > -2)
    assert torch.equal(factor.abs() < 1, attenuated)


def test_modes_shrink_by_the_closed_factor_a_step():
    lr, rho = 0.05, 0.2
    model = Quadratic(torch.tensor([0.3, -1.0, 0.7, 0.2], dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    data = torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64)
    expected = model.w.detach().clone()
    for _ in range(20):
        g = EIGENVALUES * expected
        expected = expected * (1 - lr * EIGENVALUES * (1 + rho / g.norm() * EIGENVALUES))
        step(model, lambda value, _: value, *data, SAM(rho=rho).table(COUNTS))
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(model.w.detach(), expected, rtol=1e-12, atol=0)
