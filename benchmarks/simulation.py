"""Simulated data: class counts with a natural long tail, logits, targets and a list of images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ltzoo.data import Benchmark
from ltzoo.errors import InputError
from ltzoo.evaluate import Predictions

MOST, FEWEST = 1000, 2
"""Images of the largest and the smallest class, as in iNaturalist 2018."""
DEVIATION = 1.2
"""Standard deviation of the logarithms of the counts. An eighth of the classes then has more than 100 images and two in
five have fewer than 20; in iNaturalist it is a tenth and 44 %, by the thresholds of MiSLAS."""
TESTED = 3
"""Test images per class, as in iNaturalist 2018."""


@dataclass(frozen=True)
class Simulation:
    """Settings of the simulation.

    Attributes:
        benchmark: class counts and names.
        batch_size: images per step.
        repeats: rounds of each measurement, after one warm-up round.
    """

    benchmark: Benchmark
    batch_size: int
    repeats: int

    @property
    def counts(self) -> tuple[int, ...]:
        """Training images of each class, (C,)."""
        return self.benchmark.class_counts


def natural_counts(images: int, classes: int) -> tuple[int, ...]:
    """Simulate the class counts of a natural long tail.

    The counts are quantiles of a log-normal distribution with standard deviation `DEVIATION`, clipped to `FEWEST` and
    `MOST`, with at least one class at each end. Its median is the largest for which the rounded counts sum to at most
    `images`; the remaining images go to the largest classes below `MOST`, one each. The classes are in random order.

    Args:
        images: the sum of the counts.
        classes: number of classes, at least 2.

    Raises:
        InputError: no such counts have this sum.
    """
    fewest, most = ((classes - 1) * one + other for one, other in ((FEWEST, MOST), (MOST, FEWEST)))
    if classes < 2 or not fewest <= images <= most:
        raise InputError(f"{images} images cannot be split over {classes} classes of {FEWEST} to {MOST} images")
    normal = torch.special.ndtri((torch.arange(classes, dtype=torch.float64) + 0.5) / classes).flip(0)

    def counts_around(log_median: float) -> Tensor:
        counts = (log_median + DEVIATION * normal).exp().round().clamp(FEWEST, MOST).long()
        counts[0], counts[-1] = MOST, FEWEST
        return counts

    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if int(counts_around(middle).sum()) <= images else (low, middle)
    counts = counts_around(low)
    counts[torch.nonzero(counts < MOST).flatten()[: images - int(counts.sum())]] += 1
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(0))
    return tuple(counts[order].tolist())


def simulate_predictions(classes: int) -> Predictions:
    """Draw Gaussian logits of `TESTED` images per class, plus 4 for the label: about half are correct."""
    labels = torch.arange(classes).repeat_interleave(TESTED)
    logits = torch.empty(len(labels), classes)
    generator = torch.Generator().manual_seed(0)
    for part in logits.split(1024):
        part.normal_(generator=generator)
    logits[torch.arange(len(labels)), labels] += 4
    return Predictions(logits, labels)


def simulate_targets(simulation: Simulation) -> Tensor:
    """Draw the classes of a batch, (B,) int64, with probabilities proportional to the class counts."""
    shares = torch.tensor(simulation.counts, dtype=torch.float64)
    return torch.multinomial(
        shares, simulation.batch_size, replacement=True, generator=torch.Generator().manual_seed(0)
    )


def write_list(path: Path, simulation: Simulation) -> None:
    """Write a list file with one path and label per line, in random order; the images themselves do not exist."""
    labels = torch.arange(len(simulation.counts)).repeat_interleave(torch.tensor(simulation.counts))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).tolist()
    numbers = labels.tolist()
    # Paths as long as those of iNaturalist.
    lines = (f"train_val2018/Plantae/{numbers[image]}/{image:032x}.jpg {numbers[image]}\n" for image in order)
    path.write_text("".join(lines), encoding="utf-8")
