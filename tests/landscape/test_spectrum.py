"""Extremes, density and trace are those of the matrix, as well known as they are said to be."""

import itertools
import weakref

import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.landscape import spectrum
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.landscape.spectrum import Density, measure_spectrum
from tests.landscape.conftest import CE, make_images, make_network, random_vector, symmetric

SETTINGS = {"probes": 3, "tolerance": 1e-6, "most_steps": 100, "seed": 0}


def measure(matrix, **changed):
    return measure_spectrum(lambda v: matrix @ v, matrix[0], **(SETTINGS | changed))


def moment(density, power):
    """The mean of the eigenvalues to a power, by the density."""
    probes = zip(density.nodes, density.weights, strict=True)
    means = [sum(w * node**power for node, w in zip(nodes, weights, strict=True)) for nodes, weights in probes]
    return sum(means) / len(means)


def test_the_extremes_of_a_networks_hessian_are_those_of_the_exact_one(exact):
    curvature = Curvature(make_network(), CE, [make_images()])
    found = measure_spectrum(curvature.product, torch.empty(curvature.size, dtype=torch.float64), **SETTINGS)
    eigenvalues = torch.linalg.eigvalsh(exact)
    assert found.converged
    for pair, value in ((found.lowest, eigenvalues[0]), (found.highest, eigenvalues[-1])):
        assert abs(pair.value - float(value)) <= pair.residual + 1e-12
        assert pair.residual <= 1e-6 * abs(pair.value)
        left = exact @ pair.vector - pair.value * pair.vector
        assert pair.residual == pytest.approx(float(left.norm()), abs=1e-12)
    assert found.trace == pytest.approx(float(exact.trace()), abs=5 * found.trace_error)
    assert curvature.size * moment(found.density, 1) == pytest.approx(found.trace, abs=1e-10)


def test_the_extremes_are_the_outermost_of_all_probes():
    runs = {}
    found = measure(symmetric(random_vector(60).tolist()), probes=5, most_steps=4, watch=runs.__setitem__)
    pairs = [run.extremes() for run in runs.values()]
    assert len(pairs) == 5
    assert found.lowest.value == pytest.approx(min(lowest.value for lowest, _ in pairs), abs=1e-12)
    assert found.highest.value == pytest.approx(max(highest.value for _, highest in pairs), abs=1e-12)
    assert len({lowest.value for lowest, _ in pairs}) == 5


def test_every_probe_is_a_vector_of_signs_of_its_own_fixed_by_the_seed():
    starts = {}

    def watch(probe, run):
        if run.steps == 0:
            starts[seed, probe] = run.next

    for seed in (0, 1):
        measure(symmetric(random_vector(60).tolist()), most_steps=2, seed=seed, watch=watch)
    first = dict(starts)
    seed = 0
    measure(symmetric(random_vector(60, 1).tolist()).float(), most_steps=2, watch=watch)
    assert len({tuple(start.tolist()) for start in first.values()}) == 6
    for start in first.values():
        torch.testing.assert_close(start.abs(), torch.full_like(start, 60**-0.5), rtol=1e-15, atol=0)
        assert abs(float(start.sum())) < 4  # standard deviations of a fair coin
    for probe in range(3):  # whatever the matrix and the precision
        assert torch.equal(starts[0, probe].sign().double(), first[0, probe].sign())
        assert starts[0, probe].dtype == torch.float32


def test_over_all_vectors_of_signs_the_moments_are_the_matrixs():
    """m steps give 2m - 1 of them exactly."""
    matrix = symmetric([-3.0, -0.5, 0, 0.2, 1, 4, 9])
    nodes, weights = [], []
    for signs in itertools.product((-1.0, 1.0), repeat=6):
        run = Lanczos(lambda v: matrix @ v, torch.tensor([1.0, *signs], dtype=torch.float64), 3)
        for _ in range(3):
            run.step()
        values, vectors = run.ritz()
        nodes.append(tuple(values.tolist()))
        weights.append(tuple(vectors[0].square().tolist()))
    density = Density(tuple(nodes), tuple(weights))
    for power in range(6):
        exact = float(torch.linalg.matrix_power(matrix, power).trace()) / 7
        assert moment(density, power) == pytest.approx(exact, rel=1e-11), power
    seventh = float(torch.linalg.matrix_power(matrix, 7).trace()) / 7
    assert moment(density, 7) != pytest.approx(seventh, rel=1e-11)


def test_a_diagonal_matrix_has_its_moments_in_a_single_probe():
    """Signs do not matter to it."""
    eigenvalues = random_vector(50)
    found = measure(eigenvalues.diag(), probes=1, most_steps=4, tolerance=1e-12)
    for power in range(8):
        assert moment(found.density, power) == pytest.approx(float((eigenvalues**power).mean()), rel=1e-11), power
    assert found.trace == pytest.approx(float(eigenvalues.sum()), rel=1e-12)
    assert found.trace_error is None


def test_over_many_probes_trace_and_second_moment_are_the_hessians_within_their_errors(exact):
    found = measure(exact, probes=300, most_steps=2)
    size = len(exact)
    assert found.trace == pytest.approx(float(exact.trace()), abs=3 * found.trace_error)
    assert moment(found.density, 1) == pytest.approx(found.trace / size, rel=1e-12)
    pairs = zip(found.density.nodes, found.density.weights, strict=True)
    squares = torch.tensor([moment(Density((nodes,), (weights,)), 2) for nodes, weights in pairs])
    error = float(squares.std()) / 300**0.5
    assert moment(found.density, 2) == pytest.approx(float((exact @ exact).trace()) / size, abs=3 * error)
    # Hutchinson's variance for signs: twice the squares beside the diagonal.
    variance = 2 * (exact.square().sum() - exact.diag().square().sum())
    assert found.trace_error == pytest.approx(float(variance / 300) ** 0.5, rel=0.2)


def test_the_error_of_the_trace_is_honest():
    """Of six probes, the estimate is within 2.571 standard errors in 95 of 100 cases (Student, 5 degrees)."""
    matrix = symmetric(torch.linspace(-1, 3, 30).tolist())
    spectra = [measure(matrix, probes=6, most_steps=1, seed=seed) for seed in range(100)]
    inside = [abs(found.trace - float(matrix.trace())) <= 2.571 * found.trace_error for found in spectra]
    assert 0.9 <= sum(inside) / len(inside) <= 0.99


def test_the_density_is_that_of_the_eigenvalues():
    """A third of them at -1, two thirds at 2: so many lie on each side, and there are no others."""
    found = measure(symmetric([-1.0] * 100 + [2.0] * 200), probes=4).density
    assert [len(nodes) for nodes in found.nodes] == [2] * 4
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        assert nodes == pytest.approx((-1, 2), abs=1e-10)
        assert sum(weights) == pytest.approx(1, abs=1e-12)
        assert weights == pytest.approx((1 / 3, 2 / 3), abs=0.15)
    assert moment(found, 0) == pytest.approx(1, abs=1e-12)


def test_the_smoothed_density_is_a_mixture_of_gaussians():
    density = Density(((-1.0, 2.0), (0.5,)), ((0.25, 0.75), (1.0,)))
    at = torch.linspace(-6, 7, 2601, dtype=torch.float64)
    found = density.smoothed(at, 0.5)
    normal = torch.distributions.Normal(torch.tensor([-1.0, 2.0, 0.5], dtype=torch.float64), 0.5)
    masses = torch.tensor([0.125, 0.375, 0.5], dtype=torch.float64)
    torch.testing.assert_close(found, normal.log_prob(at[:, None]).exp() @ masses, rtol=1e-12, atol=0)
    assert float(torch.trapezoid(found, at)) == pytest.approx(1, abs=1e-9)
    assert float(torch.trapezoid(found * at, at)) == pytest.approx(moment(density, 1), abs=1e-9)


def test_the_residual_is_measured_where_lanczos_own_would_be_nought():
    """In single precision, at the end of all steps."""
    matrix, ends = symmetric([-3.0, -1, 2, 7]).float(), []
    found = measure(matrix, tolerance=1e-12, watch=lambda probe, run: run.steps and ends.append(run.extremes()))
    for k, pair in enumerate((found.lowest, found.highest)):
        vector = pair.vector.double()
        left = float((matrix.double() @ vector - pair.value * vector).norm())
        assert ends[-1][k].residual < 1e-9 < left
        assert left / 3 < pair.residual < 3 * left


def test_steps_that_do_not_suffice_are_said_not_to():
    matrix = symmetric(torch.linspace(-1, 1, 60).tolist())
    short = measure(matrix, most_steps=3)
    assert (short.converged, short.steps) == (False, (3, 3, 3))
    assert max(short.lowest.residual, short.highest.residual) > 1e-3
    enough = measure(matrix, most_steps=60)
    assert enough.converged
    assert (enough.lowest.value, enough.highest.value) == pytest.approx((-1, 1), abs=1e-6)
    assert enough.steps[0] > 3


def test_one_probe_that_did_not_converge_suffices_to_say_so():
    """Here the first is told to have been at the end of its steps."""
    matrix = symmetric(torch.linspace(-1, 1, 60).tolist())

    def watch(probe, run):
        if probe == 0 and run.steps == 3:
            run.basis = run.basis[:3]

    found = measure(matrix, watch=watch)
    assert found.steps[0] == 3 < min(found.steps[1:])
    assert not found.converged


@pytest.mark.parametrize("size", [1, 5])
def test_a_matrix_of_noughts_has_a_spectrum(size):
    found = measure(torch.zeros(size, size), probes=2)
    assert (found.lowest.value, found.highest.value, found.trace, found.trace_error) == (0, 0, 0, 0)
    assert (found.steps, found.converged) == ((1, 1), True)


def test_the_watcher_sees_every_step_and_may_fill_in_those_of_before():
    matrix = symmetric(random_vector(40).tolist())
    seen, kept, products = [], {}, itertools.count()

    def note(probe, run):
        seen.append((probe, run.steps))
        if run.steps == 5:
            kept[probe] = (run.basis[:5].clone(), list(run.alphas), list(run.betas), run.next)

    whole = measure(matrix, watch=note)
    assert seen == [(probe, step) for probe in range(3) for step in range(whole.steps[probe] + 1)]

    def fill_in(probe, run):
        if run.steps == 0 and probe in kept:
            run.basis[:5], alphas, betas, run.next = kept[probe]
            run.alphas, run.betas = list(alphas), list(betas)

    def product(vector):
        next(products)
        return matrix @ vector

    del kept[2]
    resumed = measure_spectrum(product, matrix[0], **SETTINGS, watch=fill_in)
    assert next(products) == sum(whole.steps) - 10 + 2  # two residuals are measured
    assert resumed.steps == whole.steps
    assert resumed.density == whole.density
    assert resumed.trace == whole.trace
    assert torch.equal(resumed.lowest.vector, whole.lowest.vector)


def test_one_basis_lies_in_memory_at_a_time(monkeypatch):
    bases = []

    class Watched(Lanczos):
        def __init__(self, *args):
            assert all(basis() is None for basis in bases)
            super().__init__(*args)
            bases.append(weakref.ref(self.basis))

    monkeypatch.setattr(spectrum, "Lanczos", Watched)
    measure(symmetric(random_vector(20).tolist()))
    assert len(bases) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_have_the_dtype_that_is_asked_for(dtype):
    found = measure(symmetric(random_vector(30).tolist()).to(dtype), tolerance=1e-3)
    assert found.lowest.vector.dtype == found.highest.vector.dtype == dtype
    assert found.lowest.value == pytest.approx(float(random_vector(30).min()), rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_changes_nothing():
    matrix = symmetric(random_vector(60).tolist())
    here, there = measure(matrix), measure(matrix.cuda())
    assert there.lowest.vector.device.type == "cuda"
    assert there.steps == here.steps
    for found in ("trace", "trace_error"):
        assert getattr(there, found) == pytest.approx(getattr(here, found), rel=1e-9)
    for found in ("lowest", "highest"):
        assert getattr(there, found).value == pytest.approx(getattr(here, found).value, rel=1e-9)


def test_diverged_weights_have_no_spectrum():
    model = make_network()
    with torch.no_grad():
        model[3].weight.fill_(float("nan"))
    curvature = Curvature(model, CE, [make_images()])
    with pytest.raises(InputError, match="the weights have diverged"):
        measure_spectrum(curvature.product, torch.empty(curvature.size, dtype=torch.float64), **SETTINGS)


def test_a_matrix_that_is_another_at_each_product_is_not_said_to_be_known():
    matrix, generator = symmetric(torch.linspace(-1, 5, 40).tolist()), torch.Generator().manual_seed(0)

    def product(vector):
        noise = torch.randn(matrix.shape, dtype=matrix.dtype, generator=generator)
        return (matrix + noise + noise.T) @ vector

    like = torch.empty(40, dtype=torch.float64)
    found = measure_spectrum(product, like, probes=1, tolerance=0.01, most_steps=40, seed=0)
    assert not found.converged


@pytest.mark.parametrize("changes", [{"probes": 0}, {"most_steps": 0}, {"tolerance": 5.0}])
def test_settings_without_sense_are_refused(changes):
    settings = {"probes": 1, "most_steps": 5, "tolerance": 0.1, "seed": 0} | changes
    with pytest.raises(InputError, match="needs at least 1 probe and 1 step, and a tolerance between 0 and 1"):
        measure_spectrum(lambda vector: vector, torch.empty(5), **settings)
