"""What describes training batches, and where batches go."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.benchmarks import DataSet
from ltzoo.data.sampler import EACH_IMAGE_ONCE, Sampler
from ltzoo.data.seeding import RandomStream, seeded_generator


class Images(Protocol):
    """Labelled images that can be read one at a time."""

    @property
    def labels(self) -> np.ndarray | Tensor:
        """Their classes, (N,) int64."""

    def image(self, index: int) -> Image.Image:
        """Decode the image at an index."""


@dataclass(frozen=True)
class BatchSettings:
    """What describes the batches of a training run.

    Attributes:
        data_set: size and normalisation of the images.
        views: how each image is augmented, once for each view of it.
        batch_size: images per batch, over all processes.
        seed: together with the epoch it determines the order and the augmentation, so that an epoch is the same after a
            resume.
        sampler: which images make an epoch, and in which order.
        partners: draws a partner for each of them, which `mix_batch` mixes in; None: there are none.
    """

    data_set: DataSet
    views: tuple[Augmentation, ...]
    batch_size: int
    seed: int
    sampler: Sampler = EACH_IMAGE_ONCE
    partners: Sampler | None = None

    def streams(self, labels: Tensor, epoch: int) -> list[tuple[Tensor, torch.Generator]]:
        """Draw the images of an epoch, and as a second stream their partners, if there are any.

        Args:
            labels: (N,) int64, on the CPU.
            epoch: from 0.

        Returns:
            For each stream, (M,) indices of images in their order, and the generator that drew them and may draw more.
        """
        generator = seeded_generator(self.seed, epoch)
        order = self.sampler.order(labels, self.batch_size, generator)
        if self.partners is None:
            return [(order, generator)]
        second = seeded_generator(self.seed, epoch, RandomStream.PARTNERS)
        partners = self.partners.order(labels, self.batch_size, second)
        # Where there are fewer of them, they begin again.
        return [(order, generator), (partners[torch.arange(len(order)) % len(partners)], second)]

    @property
    def batched(self) -> bool:
        """Whether images in memory can be augmented a whole batch at once."""
        return all(view.batched for view in self.views)


@dataclass(frozen=True)
class Delivery:
    """Where batches go.

    Attributes:
        device: the device of the batches.
        channels_last: their memory format.
        process: rank of this process, from 0.
        processes: processes that share each batch, or the images to measure: each takes every `processes`-th.
        workers: worker processes that decode images, per training process; 0 to decode in the process itself.
    """

    device: torch.device
    channels_last: bool = False
    process: int = 0
    processes: int = 1
    workers: int = 0

    @property
    def memory_format(self) -> torch.memory_format:
        """The batches' memory format, as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def batch_sizes(images: int, batch_size: int, joined: bool) -> list[int]:
    """Split an epoch into batches, over all processes.

    Args:
        images: number of images in the epoch.
        batch_size: images per batch; the last batch has the remaining ones.
        joined: add the remaining images to the batch before where they are at most a quarter of a batch, so that many
            processes can share them and BatchNorm has enough images.
    """
    whole, left = divmod(images, batch_size)
    sizes = [batch_size] * whole
    if joined and sizes and left <= batch_size / 4:
        sizes[-1] += left
        return sizes
    return [*sizes, left] if left else sizes


def in_memory_format(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Bring a batch of images to a memory format; with several views of each image, the images of all views.

    Args:
        images: (B, channels, H, W) or (B, V, channels, H, W).
        memory_format: the format.
    """
    # torch's channels-last is defined for four dimensions.
    flat = images.flatten(0, -4).contiguous(memory_format=memory_format)
    return flat.unflatten(0, images.shape[:-3])
