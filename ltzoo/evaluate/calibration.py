"""Calibration: how often the predicted class is right, against the probability that the model gives it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.evaluate.correctness import image_correctness
from ltzoo.evaluate.predict import Predictions

BINS = 15
"""Number of bins of equal width, as in Guo et al. (2017)."""


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy in bins of the confidence; bin m of M holds ((m - 1) / M, m / M].

    Attributes:
        counts: (M,) images in each bin.
        confidence: (M,) mean confidence of each bin in per cent; None for an empty bin.
        accuracy: (M,) accuracy of each bin in per cent; None for an empty bin.
        ece: expected calibration error in per cent.
    """

    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    ece: float


def measure_calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """Compute the expected calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017, section 2).

    The confidence of an image is its highest softmax probability. The error is the distance between mean confidence and
    accuracy in each bin, averaged over the bins with the number of images as weight.

    Args:
        predictions: logits and labels of the test images.
        bins: number of bins of equal width, at least 1.

    Raises:
        InputError: a logit is not finite.
    """
    images = image_correctness(predictions)
    return calibrate(images.confidence, images.top1, bins)


def calibrate(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Calibration:
    """Compute the error from confidence and correctness of each image; see `measure_calibration`.

    Args:
        confidence: (N,) float64, the highest softmax probability.
        correct: (N,) bool, whether that class is the label.
        bins: number of bins of equal width, at least 1.
    """
    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    # bucketize finds the first edge >= value: bins are open on the left, closed on the right.
    bin_of = torch.bucketize(confidence, edges)
    counts = torch.bincount(bin_of, minlength=bins)
    confident, hits = (
        torch.bincount(bin_of, weights=values, minlength=bins) for values in (confidence, correct.double())
    )
    filled = counts > 0

    def means(sums: Tensor) -> tuple[float | None, ...]:
        return tuple(100 * float(s) / int(n) if n else None for s, n in zip(sums, counts, strict=True))

    return Calibration(
        counts=tuple(counts.tolist()),
        confidence=means(confident),
        accuracy=means(hits),
        ece=100 * float((confident - hits)[filled].abs().sum()) / len(correct),
    )
