"""The spectrum of a Hessian: its extremes, its density and its trace."""

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
    """A spectral density as stochastic Lanczos quadrature has it (Golub and Welsch 1969; Ghorbani et al. 2019).

    Each probe, a random vector, gives point masses at its Ritz values; their mean over the probes estimates the density
    of the P eigenvalues, whose integral is 1.

    Attributes:
        nodes: the Ritz values of each probe, ascending.
        weights: their masses; each probe's add up to 1.
    """

    nodes: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]

    def moment(self, power: int) -> float:
        """Compute the mean of the eigenvalues' powers, as the probes estimate it."""
        means = [
            sum(weight * node**power for node, weight in zip(nodes, weights, strict=True))
            for nodes, weights in zip(self.nodes, self.weights, strict=True)
        ]
        return sum(means) / len(means)

    def smoothed(self, at: Tensor, width: float) -> Tensor:
        """Put a Gaussian of a standard deviation `width` in the place of each mass; the density at the points `at`."""
        total = torch.zeros_like(at)
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            places, masses = (torch.tensor(values, dtype=at.dtype) for values in (nodes, weights))
            distance = (at[:, None] - places) / width
            total += (masses * torch.exp(-(distance**2) / 2)).sum(dim=1) / (width * (2 * torch.pi) ** 0.5)
        return total / len(self.nodes)


@dataclass(frozen=True)
class Spectrum:
    """What is known of a Hessian's spectrum.

    Attributes:
        lowest: the lowest eigenvalue, lambda_min.
        highest: the highest eigenvalue, lambda_max.
        density: of all eigenvalues.
        trace: Hutchinson's estimate of their sum, the mean over the probes.
        trace_error: its standard error; None of a single probe.
        steps: Lanczos steps of each probe, a product each; one more was for each extreme.
        converged: whether every probe reached the tolerance, and the residuals as measured are what it says, too: they
            are not where the matrix is another at each product.
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
    """Measure a spectrum: Lanczos from each of several random vectors of +1 and -1, until its extremes have converged.

    Args:
        product: with the Hessian.
        like: (P,), of the dtype and on the device that vectors are to have.
        probes: random vectors.
        tolerance: see `Lanczos.converged`.
        most_steps: where a probe ends if it does not converge.
        seed: of the vectors.
        watch: called with the probe's number and its Lanczos before the first step and after each; it may fill in steps
            that were taken before.

    Raises:
        InputError: a setting makes no sense.
    """
    if probes < 1 or most_steps < 1 or not 0 < tolerance < 1:
        raise InputError(
            "a spectrum wants a probe, a step, and a tolerance between 0 and 1, not "
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
        # A Ritz value lies within the spectrum, so of several the outermost is the nearest to its end.
        pairs = sorted((*ends, *run.extremes()), key=lambda pair: pair.value)
        ends = [pairs[0], pairs[-1]]
        nodes.append(tuple(values.tolist()))
        weights.append(tuple(vectors[0].square().tolist()))
        traces.append(len(like) * run.alphas[0])
        steps.append(run.steps)
        converged = converged and run.converged(tolerance)
        del run, pairs  # the next probe's basis takes the place of this one's
    found = spread(traces)
    lowest, highest = (_measured(product, pair) for pair in ends)
    scale = max(abs(lowest.value), abs(highest.value))
    # Twice, and a hundred thousandth, for the products' own rounding.
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
    """Multiply an eigenvector once more: its Rayleigh quotient, and the residual that there is, not the one by T."""
    vector = pair.vector / norm(pair.vector)
    image = product(vector)
    value = float(dot(image[None], vector))
    return Eigenpair(value, norm(image - value * vector), vector)
