"""Head and tail classes, divided by a number of training images or by a quantile of the class counts."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quantile:
    """A threshold eta computed from the class counts, for data whose counts are not known beforehand.

    Attributes:
        share: eta is this quantile of the class counts, in (0, 1), interpolated linearly between two of them, so that
            about this share of the classes is tail: fewer if many classes have equally many images, none if all have.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, not {self.share}")

    def of(self, class_counts: Tensor) -> float:
        """Compute eta.

        Args:
            class_counts: (C,) training images of each class.
        """
        # In float64, which not every device has. Rounded: 0.55 * 100 is 55.00000000000001 in binary, and the class
        # exactly at the quantile would become tail.
        return round(float(torch.quantile(class_counts.cpu().double(), self.share)), 6)


def tail_partition(class_counts: Tensor, eta: float | Quantile) -> Tensor:
    """Mark the classes that ImbSAM and SSE-SAM call tail: n_j < eta (Lyu 2025).

    Args:
        class_counts: (C,) training images of each class.
        eta: threshold in images, or a quantile of the class counts.

    Returns:
        (C,) bool, on the device of `class_counts`.
    """
    return class_counts < (eta.of(class_counts) if isinstance(eta, Quantile) else eta)
