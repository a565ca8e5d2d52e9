"""Losses that know the class prior pi_j = n_j / sum n: logit adjustment and vector scaling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ltzoo.losses.adjusted import AdjustedCrossEntropy, Loss
from ltzoo.losses.counts import as_counts, log_prior


@dataclass(frozen=True)
class LA(Loss):
    """Logit-adjusted cross-entropy (Menon 2021): CE of z_j + tau * log pi_j.

    Attributes:
        tau: strength of the prior; 1 is `BalancedSoftmax`.
    """

    tau: float
    name: ClassVar[str] = "la"

    def bind(self, class_counts: Tensor | Sequence[int]) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return AdjustedCrossEntropy(offset=self.tau * log_prior(as_counts(class_counts)))


@dataclass(frozen=True)
class BalancedSoftmax(Loss):
    """Balanced softmax (Ren 2020): CE of z_j + log n_j, which is LA with tau = 1."""

    name: ClassVar[str] = "bs"

    def bind(self, class_counts: Tensor | Sequence[int]) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        return LA(tau=1.0).bind(class_counts)


@dataclass(frozen=True)
class VS(Loss):
    """Vector-scaling loss (Kini 2021): CE of z_j / Delta_j + tau * log pi_j, Delta_j = (n_max / n_j)^gamma.

    Attributes:
        gamma: exponent of the multiplicative part; 0 leaves LA.
        tau: strength of the prior.
    """

    gamma: float
    tau: float
    name: ClassVar[str] = "vs"

    def bind(self, class_counts: Tensor | Sequence[int]) -> AdjustedCrossEntropy:
        """See `Loss.bind`."""
        counts = as_counts(class_counts)
        return AdjustedCrossEntropy(scale=(counts / counts.max()) ** self.gamma, offset=self.tau * log_prior(counts))
