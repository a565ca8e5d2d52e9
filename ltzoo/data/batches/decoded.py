"""Batches of images that worker processes decode and transform, sent to the device ahead of time."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import Dataset

from ltzoo.data.batches.in_memory import draw_alternating
from ltzoo.data.batches.settings import BatchSettings, Delivery, Images, batch_sizes, in_memory_format
from ltzoo.data.batches.transforms import Transform, crop_to_size, train_transform
from ltzoo.data.batches.worker_signals import DataLoader
from ltzoo.data.benchmarks import DataSet
from ltzoo.data.seeding import RandomStream, temporary_seed
from ltzoo.errors import InputError, first_line

_SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps the memory that processes share."""
_PREFETCHED = 2
"""Batches that each worker makes ahead of time."""

_RANDOM_STREAMS = (RandomStream.FILES, RandomStream.PARTNER_VIEWS)
"""Of all draws for an image, and for a partner."""


class Key(NamedTuple):
    """An image as an epoch draws it.

    Attributes:
        epoch: from 0.
        image: its index.
        repeat: how often the epoch's stream has drawn it before.
        stream: 0 for images, 1 for their partners.
    """

    epoch: int
    image: int
    repeat: int = 0
    stream: int = 0


Keys = tuple[Key, ...]
"""An image, or an image and its partner."""


@dataclass(frozen=True)
class _View:
    """How a view of an image is made.

    Attributes:
        transform: from a PIL image to pixels.
        mirrored_first: (N,) bool, the images that are mirrored in the epochs 0, 2, 4, ... while the others are in
            1, 3, 5, ...; None: none is mirrored here.
    """

    transform: Transform
    mirrored_first: Tensor | None = None


class _Transformed(Dataset):
    """The data set of the workers: decodes an image, and its partner, and transforms each once for each view.

    Args:
        images: the images.
        views: how each view is made.
        seed: together with key and view it determines the random draws, whichever worker draws; None where the
            transforms are not random.
    """

    def __init__(self, images: Images, views: Sequence[_View], seed: int | None) -> None:
        self.images, self.views, self.seed = images, views, seed
        self.labels = np.asarray(images.labels)

    def __getitem__(self, keys: Keys) -> tuple[np.ndarray | Tensor, np.ndarray]:
        """Return the pixels of the view, or of all of them, and the labels together with the microseconds spent."""
        began = time.perf_counter()
        drawn: list[np.ndarray | Tensor] = []
        for key in keys:
            image = self.images.image(key.image)
            drawn += [self._view(image, number, key) for number in range(len(self.views))]
        pixels = drawn[0] if len(drawn) == 1 else torch.stack([torch.as_tensor(view) for view in drawn])
        spent = round(1e6 * (time.perf_counter() - began))
        return pixels, np.array([*(self.labels[key.image] for key in keys), spent])

    def _view(self, image: Image.Image, number: int, key: Key) -> np.ndarray | Tensor:
        """Make a view, (channels, H, W)."""
        view = self.views[number]
        if self.seed is None:
            return view.transform(image)
        # The first draw of an image keeps the seed that it has without repetition, and view 0 that without views.
        further = [key.repeat, number] if number else [key.repeat] if key.repeat else []
        with temporary_seed(self.seed, key.epoch, _RANDOM_STREAMS[key.stream], key.image, *further):
            pixels = view.transform(image)
        if view.mirrored_first is not None and bool(view.mirrored_first[key.image]) ^ bool(key.epoch % 2):
            return torch.as_tensor(pixels).flip(-1)
        return pixels


class _Order:
    """The batches of an epoch, replaced in place: the workers persist from one epoch to the next."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Keys]] = ()

    def __iter__(self) -> Iterator[Sequence[Keys]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Loader:
    """Decodes batches of keys, normalises them on the device, and measures the time spent."""

    def __init__(
        self,
        images: Images,
        data_set: DataSet,
        views: Sequence[_View],
        seed: int | None,
        delivery: Delivery,
    ) -> None:
        self.order, self.workers, self.data_set = _Order(), delivery.workers, data_set
        self.views = len(views)
        loader = DataLoader(
            _Transformed(images, views, seed),
            batch_sampler=self.order,
            num_workers=delivery.workers,
            collate_fn=fast_collate,
            pin_memory=delivery.device.type == "cuda",
            # Evaluation workers end with each evaluation: they would take memory from the training workers.
            persistent_workers=delivery.workers > 0 and seed is not None,
            # The loader draws its workers' seeds, which we do not use; the draw must not touch the global generator.
            generator=torch.Generator(),
        )
        self.loader = PrefetchLoader(loader, data_set.mean, data_set.std, data_set.channels, delivery.device)
        self.memory_format = delivery.memory_format
        self.decoded = self.microseconds = 0

    def batches(self, order: Sequence[Sequence[Keys]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels on the device, see `TrainBatches.epoch`.

        Raises:
            InputError: an image cannot be decoded, the system killed a worker, or there is too little shared memory.
        """
        self.order.batches = order
        self._check_shared_memory(max((sum(map(len, batch)) for batch in order), default=0))
        spent = []
        for pixels, facts in self._loaded():
            spent.append(facts[:, -1])
            yield in_memory_format(pixels, self.memory_format), facts[:, :-1].squeeze(1)
        self.decoded = sum(map(len, order))
        # Read once, at the end, so that no step waits for the device.
        self.microseconds = int(torch.cat(spent).sum()) if spent else 0

    def _check_shared_memory(self, images: int) -> None:
        """Check that prefetched batches fit into shared memory: a worker would wait for space forever."""
        if not self.workers or not _SHARED_MEMORY.is_dir():
            return
        pixels = self.views * self.data_set.channels * self.data_set.image_size**2
        needed = self.workers * _PREFETCHED * images * pixels
        free = shutil.disk_usage(_SHARED_MEMORY).free
        if needed > free:
            raise InputError(
                f"{self.workers} decoding processes need {needed >> 20} MiB for their batches in {_SHARED_MEMORY}, "
                f"which has {free >> 20} MiB free; use fewer with --workers, or enlarge it (docker run --shm-size)"
            )

    def _loaded(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            yield from self.loader
        except InputError as error:
            # A worker's error comes wrapped in its traceback, which ends with the message.
            prefix = f"{InputError.__module__}.{InputError.__name__}: "
            raise InputError(str(error).rpartition(prefix)[2].strip()) from error
        except RuntimeError as error:
            if not first_line(error).startswith("DataLoader worker ("):
                raise
            raise InputError(
                f"the system killed a process that decodes images ({first_line(error)[:120]}); "
                "use fewer with --workers, or give them more memory (/dev/shm too)"
            ) from error

    @property
    def rate(self) -> float:
        """Images per second that the workers can deliver, by the time that the last epoch's images took."""
        return 1e6 * self.decoded * max(1, self.workers) / max(1, self.microseconds)


class TrainLoader:
    """Shuffled, augmented batches of images that workers decode.

    The order is that of `TrainBatches`; a small last batch joins the one before it, see `batch_sizes`. The random draws
    of an image depend on seed, `Key` and view alone, not on the number of workers or processes.

    Attributes:
        labels: (N,) int64.
        sizes: number of images in each batch of an epoch, over all processes.

    Args:
        images: the training images.
        settings: what describes the batches.
        delivery: where the batches go.
    """

    def __init__(self, images: Images, settings: BatchSettings, delivery: Delivery) -> None:
        self.labels = torch.as_tensor(images.labels)
        self.settings, self.delivery = settings, delivery
        count = settings.sampler.length(len(self.labels), settings.batch_size)
        self.sizes = batch_sizes(count, settings.batch_size, joined=True)
        mirrored_first = draw_alternating(len(self.labels), settings.seed)
        views = [
            _View(train_transform(settings.data_set, view), mirrored_first if view.alternate_flip else None)
            for view in settings.views
        ]
        self.loader = _Loader(images, settings.data_set, views, settings.seed, delivery)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, see `TrainBatches.epoch`.

        Args:
            epoch: from 0.
            first: the batch to begin with; the images of earlier ones are not decoded.
        """
        orders = [order for order, _ in self.settings.streams(self.labels, epoch)]
        streams = [_keys(order.tolist(), epoch, number) for number, order in enumerate(orders)]
        keys = list(zip(*streams, strict=True))
        ends = accumulate(self.sizes)
        batches = [keys[end - size : end] for end, size in zip(ends, self.sizes, strict=True)][first:]
        return self.loader.batches([batch[self.delivery.process :: self.delivery.processes] for batch in batches])

    @property
    def rate(self) -> float:
        """Images per second that this process's workers can deliver."""
        return self.loader.rate


def _keys(order: Sequence[int], epoch: int, stream: int) -> Iterator[Key]:
    """Yield the keys of a stream's images, in their order."""
    drawn: Counter[int] = Counter()
    for index in order:
        yield Key(epoch, index, drawn[index], stream)
        drawn[index] += 1


class EvalLoader:
    """The images in their stored order, decoded by workers.

    Args:
        images: the images.
        data_set: size and normalisation.
        batch_size: images per batch.
        delivery: where the batches go; each image goes to one process, once.
    """

    def __init__(self, images: Images, data_set: DataSet, batch_size: int, delivery: Delivery) -> None:
        own = range(delivery.process, len(images.labels), delivery.processes)
        keys = [(Key(0, index),) for index in own]
        self.order = [keys[begin : begin + batch_size] for begin in range(0, len(keys), batch_size)]
        self.loader = _Loader(images, data_set, [_View(crop_to_size(data_set))], None, delivery)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.loader.batches(self.order)
