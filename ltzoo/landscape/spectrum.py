"""The spectrum of a Hessian: extreme eigenvalues, spectral density and trace."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.data import seeded_generator
from ltzoo.errors import InputError
from ltzoo.evaluate import spread
from ltzoo.landscape.lanczos import Eigenpair, Lanczos, Product, dot, norm


@dataclass(frozen=True)
class Density:
    """Spectral density by stochastic Lanczos quadrature (Golub and Welsch 1969; Ghorbani et al. 2019).

    Each probe, a random vector, contributes point masses at its Ritz values; the mean over the probes estimates the
    density of the P eigenvalues, whose integral is 1.

    Attributes:
        nodes: the Ritz values of each probe, ascending.
        weights: their masses, which sum to 1 for each probe.
    """

    nodes: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]

    def smoothed(self, at: Tensor, width: float) -> Tensor:
        """Return the density at the points `at`, each mass replaced by a Gaussian of standard deviation `width`."""
        total = torch.zeros_like(at)
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            places, masses = (torch.tensor(values, dtype=at.dtype) for values in (nodes, weights))
            distance = (at[:, None] - places) / width
            total += (masses * torch.exp(-(distance**2) / 2)).sum(dim=1) / (width * (2 * torch.pi) ** 0.5)
        return total / len(self.nodes)


@dataclass(frozen=True)
class Spectrum:
    """Estimates of a Hessian's spectrum.

    Attributes:
        lowest: the lowest eigenvalue, lambda_min.
        highest: the highest eigenvalue, lambda_max.
        density: density of all eigenvalues.
        trace: Hutchinson's estimate of their sum, the mean over the probes.
        trace_error: its standard error; None for a single probe.
        steps: Lanczos steps of each probe, with one product per step; each extreme needed one more product.
        converged: whether every probe reached the tolerance and the measured residuals confirm it, which they do not
            if the matrix changes from product to product.
    """

    lowest: Eigenpair
    highest: Eigenpair
    density: Density
    trace: float
    trace_error: float | None
    steps: tuple[int, ...]
    converged: bool


def measure_spectrum(
    product: Product,
    like: Tensor,
    *,
    probes: int,
    tolerance: float,
    most_steps: int,
    seed: int,
    watch: Callable[[int, Lanczos], None] | None = None,
) -> Spectrum:
    """Measure a spectrum with Lanczos from several random vectors of +1 and -1, until the extremes have converged.

    Args:
        product: multiplies with the Hessian.
        like: (P,), with the dtype and device of the vectors.
        probes: number of random vectors.
        tolerance: see `Lanczos.converged`.
        most_steps: maximum number of steps per probe.
        seed: seed of the random vectors.
        watch: called with the number and the `Lanczos` of each probe before the first step and after every step; it
            may restore saved steps.

    Raises:
        InputError: a setting is out of range.
    """
    if probes < 1 or most_steps < 1 or not 0 < tolerance < 1:
        raise InputError(
            "a spectrum needs at least 1 probe and 1 step, and a tolerance between 0 and 1, not "
            f"{probes}, {most_steps} and {tolerance}"
        )
    ends: list[Eigenpair] = []
    nodes, weights, traces, steps, converged = [], [], [], [], True
    for probe in range(probes):
        signs = torch.randint(0, 2, (len(like),), generator=seeded_generator(seed, probe))
        run = Lanczos(product, (2 * signs - 1).to(like), most_steps)
        if watch is not None:
            watch(probe, run)
        while not (run.steps and (run.full or run.converged(tolerance))):
            run.step()
            if watch is not None:
                watch(probe, run)
        values, vectors = run.ritz()
        # Ritz values lie within the spectrum, so the outermost of several is the closest to its end.
        pairs = sorted((*ends, *run.extremes()), key=lambda pair: pair.value)
        ends = [pairs[0], pairs[-1]]
        nodes.append(tuple(values.tolist()))
        weights.append(tuple(vectors[0].square().tolist()))
        traces.append(len(like) * run.alphas[0])
        steps.append(run.steps)
        converged = converged and run.converged(tolerance)
        del run, pairs  # free this basis before the next one is allocated
    found = spread(traces)
    lowest, highest = (_measured(product, pair) for pair in ends)
    scale = max(abs(lowest.value), abs(highest.value))
    # The factor 2 and the floor of 1e-5 allow for rounding in the products.
    converged = converged and all(
        pair.residual <= max(2 * tolerance * abs(pair.value), 1e-5 * scale) for pair in (lowest, highest)
    )
    return Spectrum(
        lowest=lowest,
        highest=highest,
        density=Density(tuple(nodes), tuple(weights)),
        trace=found.mean,
        trace_error=None if found.std is None else found.std / probes**0.5,
        steps=tuple(steps),
        converged=converged,
    )


def _measured(product: Product, pair: Eigenpair) -> Eigenpair:
    """Compute the Rayleigh quotient and the true residual of an eigenvector with one more product."""
    vector = pair.vector / norm(pair.vector)
    image = product(vector)
    value = float(dot(image[None], vector))
    return Eigenpair(value, norm(image - value * vector), vector)
