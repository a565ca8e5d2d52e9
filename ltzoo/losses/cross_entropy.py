"""Cross-entropy, the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ltzoo.losses.adjusted import AdjustedCrossEntropy, Loss


@dataclass(frozen=True)
class CE(Loss):
    """Plain softmax cross-entropy."""

    name: ClassVar[str] = "ce"

    def bind(self, class_counts: Tensor | Sequence[int]) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return AdjustedCrossEntropy()
