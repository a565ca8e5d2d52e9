"""Batches from images in memory: uint8 on the device, no worker process, every draw from one seed."""

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

from ltzoo.data.augmentation import Augmentation, crop_and_flip, draw, pad
from ltzoo.data.datasets import DataSet
from ltzoo.data.delivery import Delivery, batch_sizes
from ltzoo.data.images import LabelledImages
from ltzoo.data.random_state import seeded_generator
from ltzoo.data.sampler import EACH_IMAGE_ONCE, Sampler


class _Normalizer:
    """uint8 (B, H, W, channels) to normalised float32 (B, channels, H, W)."""

    def __init__(self, data_set: DataSet, device: torch.device, channels_last: bool) -> None:
        self.mean = torch.tensor(data_set.mean, device=device) * 255
        self.std = torch.tensor(data_set.std, device=device) * 255
        self.channels_last = channels_last

    def __call__(self, images: Tensor) -> Tensor:
        normalized = ((images - self.mean) / self.std).permute(0, 3, 1, 2)
        return normalized if self.channels_last else normalized.contiguous()


class TrainBatches:
    """Shuffled, augmented batches. The last, smaller batch of an epoch is kept.

    Attributes:
        labels: (N,) int64, on the device.
        sizes: images of each batch of an epoch, over all processes.

    Args:
        data: the training images.
        data_set: size and normalisation.
        augmentation: crop and flip.
        batch_size: images a batch, over all processes.
        seed: with the epoch, it fixes order, crops and flips, so that an epoch is the same after a resume.
        delivery: where the batches go; the images lie there too.
        sampler: which images make an epoch, and in which order.
    """

    def __init__(
        self,
        data: LabelledImages,
        data_set: DataSet,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        delivery: Delivery,
        sampler: Sampler = EACH_IMAGE_ONCE,
    ) -> None:
        device = delivery.device
        self.padded = pad(data.images, augmentation.crop_padding).to(device)
        self.labels = data.labels.to(device)
        self.size = data_set.image_size
        self.augmentation = augmentation
        self.classes, self.batch_size = data.labels, batch_size
        self.sizes = batch_sizes(sampler.length(len(self.labels), batch_size), batch_size, joined=False)
        self.seed, self.delivery, self.sampler = seed, delivery, sampler
        self.normalize = _Normalizer(data_set, device, delivery.channels_last)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch.

        Args:
            epoch: from 0.

        Yields:
            Images (B, channels, H, W) float32 and labels (B,) int64, on the device.
        """
        generator = seeded_generator(self.seed, epoch)
        order = self.sampler.order(self.classes, self.batch_size, generator)
        draws = draw(len(order), self.augmentation, generator)
        order, rows, columns, flips = (tensor.to(self.delivery.device) for tensor in (order, *draws))
        for end, size in zip(accumulate(self.sizes), self.sizes, strict=True):
            part = slice(end - size + self.delivery.process, end, self.delivery.processes)
            images = crop_and_flip(self.padded, order[part], rows[part], columns[part], flips[part], self.size)
            yield self.normalize(images), self.labels[order[part]]


class EvalBatches:
    """The images in their stored order, as they are.

    Args:
        data: the images.
        data_set: normalisation.
        batch_size: images a batch.
        device: where the images lie.
        channels_last: memory format of the batches.
    """

    def __init__(
        self,
        data: LabelledImages,
        data_set: DataSet,
        batch_size: int = 500,
        device: torch.device | None = None,
        channels_last: bool = False,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.images = data.images.to(self.device)
        self.labels = data.labels.to(self.device)
        self.batch_size = batch_size
        self.normalize = _Normalizer(data_set, self.device, channels_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for begin in range(0, len(self.labels), self.batch_size):
            part = slice(begin, begin + self.batch_size)
            yield self.normalize(self.images[part]), self.labels[part]
