"""Calibration: how often the predicted class is right, against the probability that the model gives it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.evaluate.judge import judge
from ltzoo.evaluate.predict import Predictions

BINS = 15
"""Bins of equal width; Guo et al. (2017) take as many."""


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy in bins of the confidence; bin m of M holds ((m - 1) / M, m / M].

    Attributes:
        counts: (M,) images in each bin.
        confidence: (M,) their mean confidence in per cent; None for a bin without an image.
        accuracy: (M,) their accuracy in per cent; None for a bin without an image.
        ece: expected calibration error in per cent.
    """

    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    ece: float


def measure_calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """Compute the expected calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017, section 2).

    The confidence of an image is its highest softmax probability. The error is the mean over all images of their bin's
    distance between mean confidence and accuracy.

    Args:
        predictions: logits and labels of the test images.
        bins: number of bins of equal width, at least 1.

    Raises:
        InputError: a logit is not finite.
    """
    judged = judge(predictions)
    return calibrate(judged.confidence, judged.right, bins)


def calibrate(confidence: Tensor, right: Tensor, bins: int = BINS) -> Calibration:
    """Compute the error from what is known of each image; see `measure_calibration`.

    Args:
        confidence: (N,) float64, the highest softmax probability.
        right: (N,) bool, whether that class is the label.
        bins: number of bins of equal width, at least 1.
    """
    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    # bucketize gives each value the first edge that is not below it: bins are open on the left, closed on the right.
    place = torch.bucketize(confidence, edges)
    counts = torch.bincount(place, minlength=bins)
    confident, hits = (torch.bincount(place, weights=values, minlength=bins) for values in (confidence, right.double()))
    filled = counts > 0

    def means(sums: Tensor) -> tuple[float | None, ...]:
        return tuple(100 * float(s) / int(n) if n else None for s, n in zip(sums, counts, strict=True))

    return Calibration(
        counts=tuple(counts.tolist()),
        confidence=means(confident),
        accuracy=means(hits),
        ece=100 * float((confident - hits)[filled].abs().sum()) / len(right),
    )
