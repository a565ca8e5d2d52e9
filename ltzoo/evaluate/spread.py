"""Mean and standard deviation over runs."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """What several runs give for one figure.

    Attributes:
        mean: their mean.
        std: their sample standard deviation; None for a single run.
    """

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


def spread(values: Sequence[float]) -> Spread:
    """Compute the mean and the sample standard deviation of at least one value."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
