"""Perturbations by Gaussian noise: one forward and one backward pass, as SGD."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ltzoo.sharpness.methods import SAM
from ltzoo.sharpness.perturbation import Perturbation, all_classes
from ltzoo.sharpness.schedules import Radius, radius_at
from ltzoo.sharpness.table import Direction, Row, Table


@dataclass(frozen=True)
class PGD(SAM):
    """Perturbed gradient descent (Jin 2017): isotropic Gaussian noise on the weights.

    The gradient is taken at the noisy weights; w itself does not change. Rangwani 2022 gives neither the setting nor
    the kind of noise.

    Attributes:
        rho: the noise's L2 norm over all parameters, in the mean square: the standard deviation of each weight times
            the square root of their number.
    """

    name: ClassVar[str] = "pgd"
    direction: ClassVar[Direction] = "isotropic"


@dataclass(frozen=True)
class LPFSGD(Perturbation):
    """Low-pass filtering SGD (Bisla 2022): for each part of the batch, noise in proportion to the norm of each filter.

    Attributes:
        std: standard deviation of the noise on a filter, in units of the filter's norm.
        parts: M, the number of parts; fewer if a batch has fewer images.
    """

    std: Radius
    parts: int
    name: ClassVar[str] = "lpfsgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts < 1:
            raise ValueError(f"parts must be at least 1, not {self.parts}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        row = Row(None, all_classes(class_counts), radius_at(self.std, epoch, epochs))
        return Table([row], direction="filter", parts=self.parts)

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
        """See `Perturbation.radii`; the standard deviation is called `rho`."""
        return {"rho": radius_at(self.std, epoch, epochs)}


@dataclass(frozen=True)
class GNM(SAM):
    """Gaussian neighborhood minimization (Li 2024): the gradient at weights with clamped Gaussian noise.

    Attributes:
        rho: the farthest that a single weight moves. Each moves by rho * clamp(z, -1, 1), with z Gaussian of standard
            deviation 1/3. In the authors' code this factor is halved every so many epochs: a schedule here (`Steps`).
    """

    name: ClassVar[str] = "gnm"
    direction: ClassVar[Direction] = "clamped"
