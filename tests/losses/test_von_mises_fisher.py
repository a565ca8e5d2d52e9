"""Von Mises-Fisher distributions against mpmath's Bessel functions and scipy's density."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from scipy.special import ive
from scipy.stats import vonmises_fisher

from ltzoo.losses.von_mises_fisher import _EXACT, estimate_concentration, log_normalizer

CONCENTRATIONS = [0.0, 1e-9, 1e-3, 0.3, 1.0, 7.0, 40.0, 190.0, 606.0, 1500.0, 2e4, 1e5, 1e7]


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("dimensions", [2, 3, 5, 32, 33, 128, 192, 194, 1024, 4096])
def test_constant_and_derivative_are_the_bessel_functions(dimensions):
    x = doubles(CONCENTRATIONS).requires_grad_()
    found = log_normalizer(x, dimensions)
    (slopes,) = torch.autograd.grad(found.sum(), x)
    with mpmath.workdps(40):
        order = mpmath.mpf(dimensions) / 2 - 1
        for k, value, slope in zip(CONCENTRATIONS, found.tolist(), slopes.tolist(), strict=True):
            if k:
                bessel, above = (mpmath.besseli(order + n, k, maxterms=10**6) for n in (0, 1))
                expected = order * mpmath.log(k) - mpmath.log(bessel)
                assert slope == pytest.approx(float(-above / bessel), rel=1e-12)
            else:  # the limit: I_nu(k) is (k / 2)^nu / Gamma(nu + 1)
                expected = mpmath.loggamma(order + 1) + order * mpmath.log(2)
                assert slope == 0
            expected -= mpmath.mpf(dimensions) / 2 * mpmath.log(2 * mpmath.pi)
            assert value == pytest.approx(float(expected), rel=1e-13, abs=1e-12), k
    assert bool((slopes <= 0).all())
    assert bool((slopes > -1).all())


@pytest.mark.parametrize("dimensions", [2, 3, 128])
def test_constant_is_scipys(dimensions):
    order = dimensions / 2 - 1
    for k in (5.0, 60.0, 606.0, 5000.0):
        expected = order * math.log(k) - math.log(ive(order, k)) - k - dimensions / 2 * math.log(2 * math.pi)
        assert log_normalizer(doubles(k), dimensions).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3, 8, 64])
def test_density_is_scipys(dimensions):
    generator = np.random.default_rng(0)
    mean = generator.normal(size=dimensions)
    mean /= np.linalg.norm(mean)
    for k in (0.5, 30.0, 400.0):
        x = vonmises_fisher(mean, k).rvs(5, random_state=generator)
        found = log_normalizer(doubles(k), dimensions).item() + k * x @ mean
        np.testing.assert_allclose(found, vonmises_fisher(mean, k).logpdf(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dimensions", [2, 7, 128, 1024])
def test_gradcheck(dimensions):
    x = doubles([[0.05, 1.0], [30.0, 250.0]]).requires_grad_()
    assert torch.autograd.gradcheck(lambda k: log_normalizer(k, dimensions), x)
    assert torch.autograd.gradgradcheck(lambda k: log_normalizer(k, dimensions), x)


def test_float32_is_computed_in_float64_and_keeps_its_gradient():
    x = torch.tensor([606.3, 2.5], requires_grad=True)
    found = log_normalizer(x, 128)
    assert torch.equal(found, log_normalizer(x.detach().double(), 128))
    found.sum().backward()
    assert x.grad.dtype == torch.float32


def test_debyes_polynomials_are_those_of_the_tables():
    """DLMF 10.41.10."""
    assert _EXACT[1] == [0, Fraction(3, 24), 0, Fraction(-5, 24)]
    assert _EXACT[2] == [0, 0, Fraction(81, 1152), 0, Fraction(-462, 1152), 0, Fraction(385, 1152)]


def test_the_concentration_of_a_mean():
    lengths = doubles([0.0, 0.5, 0.9, 1 - 1e-9, 1.0, 1 + 1e-7])
    expected = [0.0, 128 * 0.5 / 0.75, 128 * 0.9 / 0.19, 1e5, 1e5, 1e5]
    assert estimate_concentration(lengths, 128).tolist() == pytest.approx(expected, rel=1e-14)


def test_one_dimension_is_refused():
    with pytest.raises(ValueError, match="need at least 2 dimensions, not 1"):
        log_normalizer(doubles([1.0]), 1)
