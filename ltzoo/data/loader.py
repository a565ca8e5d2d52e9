"""Batches of images that are decoded on the way, by worker processes, and sent ahead to the device."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ltzoo.data.datasets import DataSet
from ltzoo.data.delivery import Delivery, batch_sizes
from ltzoo.data.random_state import seeded, seeded_generator
from ltzoo.data.sampler import EACH_IMAGE_ONCE, Sampler
from ltzoo.data.transforms import Transform
from ltzoo.errors import InputError, first_line

_SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps what processes share."""
_ON_THEIR_WAY = 2
"""Batches that each worker makes ahead."""

Key = tuple[int, int]
"""An epoch, from 0, and the index of an image."""


class Pictures(Protocol):
    """Images that are decoded one at a time."""

    @property
    def labels(self) -> np.ndarray | Tensor:
        """Their classes, (N,) int64."""

    def image(self, index: int) -> Image.Image:
        """Decode one."""


class _Transformed(Dataset):
    """What a worker does: decode and transform an image.

    Args:
        pictures: the images.
        transform: what happens to each.
        seed: with the epoch and the index it fixes what is drawn, whichever worker draws; None where nothing is.
    """

    def __init__(self, pictures: Pictures, transform: Transform, seed: int | None) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed
        self.labels = np.asarray(pictures.labels)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels, and the label with the microseconds that it took."""
        (epoch, index), began = key, time.perf_counter()
        image = self.pictures.image(index)
        if self.seed is None:
            pixels = self.transform(image)
        else:
            with seeded(self.seed, epoch, 4, index):
                pixels = self.transform(image)
        spent = round(1e6 * (time.perf_counter() - began))
        return pixels, np.array([self.labels[index], spent])


class _Order:
    """The batches of an epoch; the workers live on from one epoch to the next, so it is changed in place."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Key]] = ()

    def __iter__(self) -> Iterator[Sequence[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Loader:
    """Decodes batches of keys, normalises them on the device, and measures itself."""

    def __init__(
        self,
        pictures: Pictures,
        data_set: DataSet,
        transform: Transform,
        seed: int | None,
        delivery: Delivery,
    ) -> None:
        self.order, self.workers, self.data_set = _Order(), delivery.workers, data_set
        loader = DataLoader(
            _Transformed(pictures, transform, seed),
            batch_sampler=self.order,  # type: ignore[arg-type]  # any iterable of lists
            num_workers=delivery.workers,
            collate_fn=fast_collate,
            pin_memory=delivery.device.type == "cuda",
            # Those that measure end with each measurement: they would take memory from those that train.
            persistent_workers=delivery.workers > 0 and seed is not None,
            # The loader draws its workers' seeds; nothing of ours depends on them, nor shall it on that draw.
            generator=torch.Generator(),
        )
        self.loader = PrefetchLoader(loader, data_set.mean, data_set.std, data_set.channels, delivery.device)
        self.memory_format = delivery.memory_format
        self.images = self.microseconds = 0

    def batches(self, order: Sequence[Sequence[Key]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, channels, H, W) float32 and labels (B,) int64, on the device.

        Raises:
            InputError: an image cannot be decoded, a worker was ended by the system, or shared memory is short.
        """
        self.order.batches = order
        self._check_shared_memory(max(map(len, order), default=0))
        spent = []
        for pixels, facts in self._loaded():
            spent.append(facts[:, 1])
            yield pixels.contiguous(memory_format=self.memory_format), facts[:, 0]
        self.images = sum(map(len, order))
        # Looked at once, in the end: the device is not to be waited for.
        self.microseconds = int(torch.cat(spent).sum()) if spent else 0

    def _check_shared_memory(self, images: int) -> None:
        """See that the batches on their way fit where workers leave them; one that does not waits for ever."""
        if not self.workers or not _SHARED_MEMORY.is_dir():
            return
        needed = self.workers * _ON_THEIR_WAY * images * self.data_set.channels * self.data_set.image_size**2
        free = shutil.disk_usage(_SHARED_MEMORY).free
        if needed > free:
            raise InputError(
                f"{self.workers} processes that decode leave {needed >> 20} MiB of batches in {_SHARED_MEMORY}, which "
                f"has {free >> 20} MiB free; ask for fewer with --workers, or give it more (docker run --shm-size)"
            )

    def _loaded(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            yield from self.loader
        except InputError as error:
            # A worker's comes wrapped in its traceback, which ends with what it said.
            prefix = f"{InputError.__module__}.{InputError.__name__}: "
            raise InputError(str(error).rpartition(prefix)[2].strip()) from error
        except RuntimeError as error:
            if not first_line(error).startswith("DataLoader worker ("):
                raise
            raise InputError(
                f"a process that decodes images was ended by the system ({first_line(error)[:120]}); "
                "ask for fewer with --workers, or give them more memory (/dev/shm too)"
            ) from error

    @property
    def rate(self) -> float:
        """Images a second that the workers could give, by what the last epoch's images took them."""
        return 1e6 * self.images * max(1, self.workers) / max(1, self.microseconds)


class TrainLoader:
    """Shuffled, augmented batches of images that are decoded on the way.

    They come in the order of `TrainBatches`; a small last batch joins the one before it, see `batch_sizes`.

    Attributes:
        labels: (N,) int64.
        sizes: images of each batch of an epoch, over all processes.

    Args:
        pictures: the training images.
        data_set: size and normalisation.
        transform: what happens to an image, see `train_transform`.
        batch_size: images a batch, over all processes.
        seed: with the epoch, it fixes the order and, with an image's index, what is drawn for it: the number of workers
            and of processes changes neither.
        delivery: where the batches go.
        sampler: which images make an epoch, and in which order.
    """

    def __init__(
        self,
        pictures: Pictures,
        data_set: DataSet,
        transform: Transform,
        batch_size: int,
        seed: int,
        delivery: Delivery,
        sampler: Sampler = EACH_IMAGE_ONCE,
    ) -> None:
        self.labels = torch.as_tensor(pictures.labels)
        self.sampler, self.batch_size = sampler, batch_size
        self.sizes = batch_sizes(sampler.length(len(self.labels), batch_size), batch_size, joined=True)
        self.seed, self.delivery = seed, delivery
        self.loader = _Loader(pictures, data_set, transform, seed, delivery)

    def __len__(self) -> int:
        return len(self.sizes)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, from 0."""
        order = self.sampler.order(self.labels, self.batch_size, seeded_generator(self.seed, epoch))
        shares = [batch[self.delivery.process :: self.delivery.processes].tolist() for batch in order.split(self.sizes)]
        return self.loader.batches([[(epoch, index) for index in share] for share in shares])

    @property
    def rate(self) -> float:
        """Images a second that this process's workers could give."""
        return self.loader.rate


class EvalLoader:
    """The images in their stored order, decoded on the way.

    Args:
        pictures: the images.
        data_set: size and normalisation.
        transform: what happens to an image, see `eval_transform`.
        batch_size: images a batch.
        delivery: where the batches go; each image goes to one process, once.
    """

    def __init__(
        self,
        pictures: Pictures,
        data_set: DataSet,
        transform: Transform,
        batch_size: int,
        delivery: Delivery,
    ) -> None:
        own = range(delivery.process, len(pictures.labels), delivery.processes)
        keys = [(0, index) for index in own]
        self.order = [keys[begin : begin + batch_size] for begin in range(0, len(keys), batch_size)]
        self.loader = _Loader(pictures, data_set, transform, None, delivery)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.loader.batches(self.order)
