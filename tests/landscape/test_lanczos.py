"""Lanczos finds every distinct eigenvalue once, says how well it knows them, and says when it does not."""

import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.lanczos import Lanczos, dot, norm
from tests.landscape.conftest import CE, make_images, make_network, random_vector, symmetric


def lanczos(matrix, most_steps=None, seed=0):
    start = random_vector(len(matrix), seed).to(matrix)
    return Lanczos(lambda v: matrix @ v, start, len(matrix) if most_steps is None else most_steps)


def until(run, enough):
    while not enough(run):
        run.step()
    return run


def to_the_end(run):
    return until(run, lambda run: run.full)


def plain_ritz_values(matrix, start, steps):
    """Those of the three-term recurrence that makes no vector orthogonal but to the last two."""
    vector, before, beta = start / start.norm(), torch.zeros_like(start), 0.0
    alphas, betas = [], []
    for _ in range(steps):
        new = matrix @ vector - beta * before
        alphas.append(float(vector @ new))
        new -= alphas[-1] * vector
        beta = float(new.norm())
        betas.append(beta)
        before, vector = vector, new / beta
    alpha, off = torch.tensor(alphas, dtype=torch.float64), torch.tensor(betas[:-1], dtype=torch.float64)
    return torch.linalg.eigvalsh(alpha.diag() + off.diag(1) + off.diag(-1))


def test_at_the_end_every_distinct_eigenvalue_of_a_networks_hessian_is_found(exact):
    curvature = Curvature(make_network(), CE, [make_images()])
    run = to_the_end(Lanczos(curvature.product, random_vector(curvature.size), curvature.size))
    found, eigenvalues = run.ritz()[0], torch.linalg.eigvalsh(exact)
    apart = (found[:, None] - eigenvalues).abs()
    assert float(apart.amin(dim=0).max()) < 1e-8  # each eigenvalue is near a Ritz value
    assert float(apart.amin(dim=1).max()) < 1e-8  # and each Ritz value near an eigenvalue
    assert run.closed


def test_the_extremes_of_a_networks_hessian_are_scipys():
    curvature = Curvature(make_network(), CE, [make_images()])
    size, start = curvature.size, random_vector(curvature.size)
    run = until(Lanczos(curvature.product, start, size), lambda run: run.steps and run.converged(1e-9))
    assert run.steps < size / 2

    def product(vector):
        return curvature.product(torch.from_numpy(vector.ravel().copy())).numpy()

    operator = LinearOperator((size, size), product, dtype="float64")
    values, vectors = eigsh(operator, k=2, which="BE", v0=random_vector(size, 1).numpy())
    for k, pair in enumerate(run.extremes()):
        assert pair.value == pytest.approx(float(values[k]), abs=1e-9)
        assert abs(float(pair.vector @ torch.from_numpy(vectors[:, k].copy()))) == pytest.approx(1, abs=1e-9)


def test_an_eigenvalue_comes_once_however_often_the_matrix_has_it():
    run = to_the_end(lanczos(torch.diag(torch.tensor([1.0, 3, -2, 1, 7, 3, 1], dtype=torch.float64))))
    assert run.steps == 4
    assert run.closed
    assert run.ritz()[0].tolist() == pytest.approx([-2, 1, 3, 7], abs=1e-12)


def test_no_eigenvalue_comes_back_as_a_ghost_as_without_orthogonalisation():
    """In single precision, at three times the steps that both ends took to converge."""
    matrix = symmetric([*torch.linspace(-1, 1, 199).tolist(), 10.0]).float()
    run = until(lanczos(matrix, seed=1), lambda run: run.steps and run.converged(1e-3))
    steps = 3 * run.steps
    until(run, lambda run: run.steps == steps)
    assert not run.closed
    assert int((run.ritz()[0] > 5).sum()) == 1
    assert int((plain_ritz_values(matrix, random_vector(200, 1).float(), steps) > 5).sum()) > 1
    others = run.basis[:steps] @ run.basis[:steps].T - torch.eye(steps)
    assert float(others.abs().max()) < 1e-6


def test_the_basis_is_orthonormal_and_makes_the_matrix_tridiagonal():
    matrix = symmetric(random_vector(40, 3).tolist())
    run = until(lanczos(matrix), lambda run: run.steps == 15)
    basis = run.basis[:15]
    torch.testing.assert_close(basis @ basis.T, torch.eye(15, dtype=torch.float64), rtol=0, atol=1e-14)
    alpha, beta = (torch.tensor(numbers, dtype=torch.float64) for numbers in (run.alphas, run.betas))
    tridiagonal = alpha.diag() + beta[:-1].diag(1) + beta[:-1].diag(-1)
    torch.testing.assert_close(basis @ matrix @ basis.T, tridiagonal, rtol=0, atol=1e-13)
    after = matrix @ basis[14] - alpha[14] * basis[14] - beta[13] * basis[13]
    torch.testing.assert_close(after, beta[14] * run.next, rtol=0, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 7, 15])
def test_the_residual_is_what_it_says_and_an_eigenvalue_lies_within_it(steps):
    eigenvalues = random_vector(40, 3)
    matrix = symmetric(eigenvalues.tolist())
    run = until(lanczos(matrix), lambda run: run.steps == steps)
    for pair in run.extremes():
        left = matrix @ pair.vector - pair.value * pair.vector
        assert pair.residual == pytest.approx(float(left.norm()), rel=1e-9, abs=1e-13)
        assert float(pair.vector.norm()) == pytest.approx(1, abs=1e-13)
        assert float((eigenvalues - pair.value).abs().min()) <= pair.residual
    assert run.extremes()[0].residual > 1e-7  # it has not converged: there is something to be wrong about


def test_extremes_are_said_to_have_converged_when_they_have_and_not_before():
    eigenvalues = [-4.0, *torch.linspace(-1, 1, 60).tolist(), 6.0]
    matrix, run = symmetric(eigenvalues), None
    for tolerance in (1e-2, 1e-6, 1e-10):
        run = until(lanczos(matrix), lambda run, tolerance=tolerance: run.steps and run.converged(tolerance))
        for pair, exact in zip(run.extremes(), (-4, 6), strict=True):
            assert abs(pair.value - exact) <= pair.residual <= tolerance * abs(pair.value)
        before = until(lanczos(matrix), lambda other, steps=run.steps - 1: other.steps == steps)
        assert max(pair.residual / abs(pair.value) for pair in before.extremes()) > tolerance
        assert not before.full


def test_both_ends_have_to_converge():
    """The lowest eigenvalue stands apart, the highest in a crowd; and the other way round."""
    eigenvalues = torch.tensor([-100.0, *torch.linspace(0, 1, 80).tolist()])
    for matrix in (symmetric(eigenvalues.tolist()), symmetric((-eigenvalues).tolist())):
        run = until(lanczos(matrix), lambda run: run.steps == 6)
        assert min(pair.residual / abs(pair.value) for pair in run.extremes()) < 1e-6
        assert not run.converged(1e-3)


def test_an_eigenvalue_of_nought_need_not_be_known_better_than_to_rounding():
    """In units of its own size, it never would be."""
    matrix = symmetric([0.0] * 100 + torch.linspace(0.5, 2, 100).tolist()).float()
    run = until(lanczos(matrix), lambda run: run.steps and run.converged(1e-3))
    assert run.steps < 60
    assert not run.closed
    assert run.extremes()[0].value == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("eigenvalues", "steps"),
    [([0.0] * 17 + [-1.0, 2.0, 5.0], 4), ([0.0] * 20, 1), ([3.0], 1), ([0.0], 1), ([-2.0] * 6, 1)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_space_that_the_matrix_maps_to_itself_is_closed(eigenvalues, steps, dtype):
    run = to_the_end(lanczos(torch.diag(torch.tensor(eigenvalues, dtype=dtype))))
    assert (run.steps, run.closed, run.full) == (steps, True, True)
    assert run.converged(1e-12)
    rounding = 100 * torch.finfo(dtype).eps
    assert run.ritz()[0].tolist() == pytest.approx(sorted(set(eigenvalues)), abs=rounding)
    lowest, highest = run.extremes()
    assert (lowest.value, highest.value) == pytest.approx((min(eigenvalues), max(eigenvalues)), abs=rounding)
    assert max(lowest.residual, highest.residual) < rounding
    assert lowest.vector.dtype == dtype


def test_before_the_first_step_nothing_is_closed():
    run = lanczos(symmetric([1.0, 2.0]))
    assert (run.steps, run.closed, run.full) == (0, False, False)


def test_the_steps_end_where_they_are_told_to_and_the_extremes_are_not_said_to_be_known():
    run = to_the_end(lanczos(symmetric(torch.linspace(-1, 1, 50).tolist()), most_steps=3))
    assert (run.steps, run.full, run.closed) == (3, True, False)
    assert not run.converged(1e-3)
    assert len(run.basis) == 3


def test_there_are_no_more_steps_than_dimensions():
    run = lanczos(symmetric([1.0, 2.0, 4.0]), most_steps=1000)
    assert run.basis.shape == (3, 3)
    assert to_the_end(run).steps == 3


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_scale_of_the_matrix_and_of_the_start_changes_nothing(factor):
    matrix = torch.diag(torch.tensor([0.0] * 10 + [1, 2, 5], dtype=torch.float64))
    run = to_the_end(Lanczos(lambda v: factor * (matrix @ v), factor * random_vector(13), 13))
    assert run.steps == 4
    assert (run.ritz()[0] / factor).tolist() == pytest.approx([0, 1, 2, 5], abs=1e-12)


def test_inner_products_of_long_vectors_are_summed_in_double_precision():
    """Terms of both signs, of which a sum in single precision keeps three digits."""
    rows = random_vector(3 * 150_000).view(3, -1).float()
    rows[:, 75_000:] = -rows[:, :75_000] + 1e-6 * rows[:, 75_000:]
    vector = torch.ones(150_000)
    exact = rows.double() @ vector.double()
    assert float(((dot(rows, vector) - exact) / exact).abs().max()) < 1e-9
    assert float(((rows @ vector - exact) / exact).abs().max()) > 1e-3
    assert norm(rows[0]) == pytest.approx(float(rows[0].double().square().sum()) ** 0.5, rel=1e-12)


def test_vectors_of_many_weights_stay_orthogonal_in_float32():
    """Sums of so many float32 products, taken in float32, would leave errors a hundred times as large."""
    size = 400_000
    spectrum = torch.rand(size, generator=torch.Generator().manual_seed(0))
    spectrum[0], spectrum[-1] = -5.0, 100.0
    run = Lanczos(lambda vector: spectrum * vector, torch.ones(size), 25)
    while not run.full:
        run.step()
    basis = run.basis[: run.steps].double()
    assert float((basis @ basis.T - torch.eye(run.steps, dtype=torch.float64)).abs().max()) < 1e-6
    lowest, highest = run.extremes()
    assert lowest.value == pytest.approx(-5, abs=1e-4) and highest.value == pytest.approx(100, abs=1e-3)
