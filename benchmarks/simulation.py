"""What a benchmark simulates: class counts with a natural long tail, logits, targets and a list of images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ltzoo.data import Benchmark
from ltzoo.errors import InputError
from ltzoo.evaluate import Predictions

MOST, FEWEST = 1000, 2
"""Images of the largest and of the smallest class, as iNaturalist 2018 has them."""
DEVIATION = 1.2
"""Of the counts' logarithms: an eighth of the classes has more than 100 images then, two in five have fewer than 20. Of
iNaturalist's own it is a tenth and 44 %, by MiSLAS's cuts."""
TESTED = 3
"""Test images a class, as there."""


@dataclass(frozen=True)
class Simulation:
    """What is simulated.

    Attributes:
        benchmark: class counts and names.
        batch_size: images a step.
        repeats: turns of each thing, after one that is not counted.
    """

    benchmark: Benchmark
    batch_size: int
    repeats: int

    @property
    def counts(self) -> tuple[int, ...]:
        """Training images of each class, (C,)."""
        return self.benchmark.class_counts


def natural_counts(images: int, classes: int) -> tuple[int, ...]:
    """Simulate the class counts of a natural long tail; they are nobody's own.

    They are the quantiles of a log-normal distribution, cut off at `FEWEST` and `MOST`, with one class at least at each
    end. Its deviation is `DEVIATION`, its median such that, rounded, all add up to `images` or to a little less, as the
    sum moves in steps; what is missing goes to the largest classes below `MOST`, one image each. The classes lie in
    random order.

    Args:
        images: the sum of the counts.
        classes: how many there are, at least 2.

    Raises:
        InputError: no such counts add up to it.
    """
    fewest, most = ((classes - 1) * one + other for one, other in ((FEWEST, MOST), (MOST, FEWEST)))
    if classes < 2 or not fewest <= images <= most:
        raise InputError(
            f"{images} images are no {classes} classes of which the largest has {MOST}, the smallest {FEWEST}"
        )
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
    """Draw the logits of `TESTED` images a class, Gaussian, and 4 more for the label: about every second is right."""
    labels = torch.arange(classes).repeat_interleave(TESTED)
    logits = torch.empty(len(labels), classes)
    generator = torch.Generator().manual_seed(0)
    for part in logits.split(1024):
        part.normal_(generator=generator)
    logits[torch.arange(len(labels)), labels] += 4
    return Predictions(logits, labels)


def simulate_targets(simulation: Simulation) -> Tensor:
    """Draw the classes of a batch, (B,) int64, each as often as it has images."""
    shares = torch.tensor(simulation.counts, dtype=torch.float64)
    return torch.multinomial(
        shares, simulation.batch_size, replacement=True, generator=torch.Generator().manual_seed(0)
    )


def write_list(path: Path, simulation: Simulation) -> None:
    """Write a list of as many images as are simulated, a path and a label a line, in no order; there are no images."""
    labels = torch.arange(len(simulation.counts)).repeat_interleave(torch.tensor(simulation.counts))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).tolist()
    numbers = labels.tolist()
    # As long as iNaturalist's own paths.
    lines = (f"train_val2018/Plantae/{numbers[image]}/{image:032x}.jpg {numbers[image]}\n" for image in order)
    path.write_text("".join(lines), encoding="utf-8")
