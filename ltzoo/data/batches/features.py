"""Batches of features in place of images, where a model's features are computed once and only its head is trained."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice

from torch import Tensor

from ltzoo.data.batches.settings import BatchSettings, Delivery
from ltzoo.data.seeding import seeded_generator


class FeatureBatches:
    """Training batches of features, in the order that the sampler draws for the images.

    Attributes:
        labels: (N,) int64, on the device.
        sizes: number of images in each batch of an epoch, over all processes.

    Args:
        features: (N, F) of the training images.
        labels: (N,) int64.
        settings: batch size, seed and sampler.
        delivery: where the batches go; the features are kept there too.
        sizes: as for the images, see `epoch_sizes`.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, settings: BatchSettings, delivery: Delivery, sizes: Sequence[int]
    ) -> None:
        self.features, self.labels = features.to(delivery.device), labels.to(delivery.device)
        self.classes, self.settings, self.delivery = labels, settings, delivery
        self.sizes = list(sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, from 0: features (B, F) and labels (B,), on the device.

        Args:
            epoch: from 0.
            first: the batch to begin with.
        """
        settings = self.settings
        order = settings.sampler.order(self.classes, settings.batch_size, seeded_generator(settings.seed, epoch))
        order = order.to(self.delivery.device)
        for end, count in islice(zip(accumulate(self.sizes), self.sizes, strict=True), first, None):
            part = order[slice(end - count + self.delivery.process, end, self.delivery.processes)]
            yield self.features[part], self.labels[part]


def share_of_features(features: Tensor, labels: Tensor, delivery: Delivery) -> list[tuple[Tensor, Tensor]]:
    """Return this process's share of features to measure, as one batch on the device."""
    part = slice(delivery.process, None, delivery.processes)
    return [(features[part].to(delivery.device), labels[part].to(delivery.device))]
