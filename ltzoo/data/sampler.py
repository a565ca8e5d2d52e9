"""Samplers: which training images make an epoch, and in which order."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

EpochLength = Literal["images", "whole_batches", "one_more_batch"]
_EPOCHS = get_args(EpochLength)


@dataclass(frozen=True)
class Sampler(ABC):
    """Chooses the images of an epoch.

    Attributes:
        name: its name in a recipe.
    """

    name: ClassVar[str]

    @abstractmethod
    def length(self, images: int, batch_size: int) -> int:
        """Compute the number of images in an epoch, M.

        Args:
            images: number of training images, N.
            batch_size: images per step, over all processes.
        """

    @abstractmethod
    def order(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw the images of one epoch.

        Args:
            labels: (N,) int64 classes of the training images, on the CPU.
            batch_size: images per step, over all processes.
            generator: on the CPU; every draw comes from it.

        Returns:
            (M,) int64 indices in the order in which images are trained on.
        """


@dataclass(frozen=True)
class InstanceSampler(Sampler):
    """Each image once per epoch, shuffled: instance-balanced sampling."""

    name: ClassVar[str] = "instance"

    def length(self, images: int, batch_size: int) -> int:
        """See `Sampler.length`."""
        return images

    def order(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Sampler.order`."""
        return torch.randperm(len(labels), generator=generator)


@dataclass(frozen=True)
class ClassAwareSampler(Sampler):
    """Each class equally often (Kang 2020): classes are drawn in turn, and each provides several images in a row.

    Classes come in passes over all of them, each pass in a new random order. A class takes its images from its own
    shuffled list, which is shuffled again whenever it is exhausted, so that a class with fewer than `per_class` images
    repeats some. Consecutive images are therefore not independent. Passes and lists start again with each epoch.

    Attributes:
        per_class: k, images in a row from a drawn class; the code of Kang and of MiSLAS has 4.
        epoch: the length of an epoch: `images` for as many draws as training images; `whole_batches` for as many whole
            batches as these fill, without a smaller last one, as in Kang's code; `one_more_batch` for whole batches
            that hold all of these and one more, as in MiSLAS's code.
        draws: length of an epoch in images, in place of `epoch`, as in DRO-LT's code, whose epochs have as many draws
            as there would be images if all classes were as large as the largest; None: as `epoch` says.
    """

    per_class: int = 4
    epoch: EpochLength = "images"
    draws: int | None = None
    name: ClassVar[str] = "class_aware"

    def __post_init__(self) -> None:
        if self.per_class < 1:
            raise ValueError(f"per_class must be at least 1, not {self.per_class}")
        if self.epoch not in _EPOCHS:
            raise ValueError(f"epoch must be one of {', '.join(_EPOCHS)}, not {self.epoch!r}")
        if self.draws is not None and (self.draws < 1 or self.epoch != "images"):
            raise ValueError(f"draws must be at least 1, with epoch: images, not {self.draws} with {self.epoch}")

    def length(self, images: int, batch_size: int) -> int:
        """See `Sampler.length`; an epoch has one batch at least."""
        if self.draws is not None:
            return self.draws
        if self.epoch == "images":
            return images
        batches = max(images // batch_size, 1) if self.epoch == "whole_batches" else -(-images // batch_size) + 1
        return batches * batch_size

    def order(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Sampler.order`."""
        length, k = self.length(len(labels), batch_size), self.per_class
        classes = labels.unique()
        visits = -(-length // k)
        passes = -(-visits // len(classes))
        turns = torch.cat([classes[torch.randperm(len(classes), generator=generator)] for _ in range(passes)])[:visits]
        drawn = torch.empty(visits, k, dtype=torch.int64)
        for j in classes.tolist():
            own, turns_of_j = torch.nonzero(labels == j).flatten(), turns == j
            wanted = int(turns_of_j.sum()) * k
            shuffled = [own[torch.randperm(len(own), generator=generator)] for _ in range(-(-wanted // len(own)))]
            if wanted:
                drawn[turns_of_j] = torch.cat(shuffled)[:wanted].view(-1, k)
        return drawn.flatten()[:length]


@dataclass(frozen=True)
class InversePowerSampler(Sampler):
    """As many draws as training images, with replacement, each image with a probability proportional to n_j^-power.

    n_j is the number of training images of its class j. GLMC draws the images that others are mixed with like this.

    Attributes:
        power: 0 draws each image equally often, 1 each class.
    """

    power: float
    name: ClassVar[str] = "inverse_power"

    def __post_init__(self) -> None:
        if not 0 <= self.power < math.inf:
            raise ValueError(f"power must be finite and not below 0, not {self.power}")

    def length(self, images: int, batch_size: int) -> int:
        """See `Sampler.length`."""
        return images

    def order(self, labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Sampler.order`."""
        weights = torch.bincount(labels).double().clamp_min(1).pow(-self.power)[labels]
        upto = weights.cumsum(0)
        drawn = torch.rand(len(labels), dtype=torch.float64, generator=generator) * upto[-1]
        return torch.searchsorted(upto, drawn, right=True).clamp_max(len(labels) - 1)


SAMPLERS: dict[str, type[Sampler]] = {
    kind.name: kind for kind in (InstanceSampler, ClassAwareSampler, InversePowerSampler)
}

EACH_IMAGE_ONCE = InstanceSampler()
"""The default."""
