"""Batches of images that are decoded on the way, by worker processes, and sent ahead to the device."""

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ltzoo.data.datasets import DataSet
from ltzoo.data.random_state import seeded, seeded_generator
from ltzoo.data.transforms import Transform
from ltzoo.errors import InputError, first_line

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
        device: torch.device,
        channels_last: bool,
        workers: int,
    ) -> None:
        self.order, self.workers = _Order(), workers
        loader = DataLoader(
            _Transformed(pictures, transform, seed),
            batch_sampler=self.order,  # type: ignore[arg-type]  # any iterable of lists
            num_workers=workers,
            collate_fn=fast_collate,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
            # The loader draws its workers' seeds; nothing of ours depends on them, nor shall it on that draw.
            generator=torch.Generator(),
        )
        self.loader = PrefetchLoader(loader, data_set.mean, data_set.std, data_set.channels, device)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.images = self.microseconds = 0

    def batches(self, order: Sequence[Sequence[Key]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, channels, H, W) float32 and labels (B,) int64, on the device.

        Raises:
            InputError: an image cannot be decoded, or a worker was ended by the system.
        """
        self.order.batches = order
        spent = []
        for pixels, facts in self._loaded():
            spent.append(facts[:, 1])
            yield pixels.contiguous(memory_format=self.memory_format), facts[:, 0]
        self.images = sum(map(len, order))
        # Looked at once, in the end: the device is not to be waited for.
        self.microseconds = int(torch.cat(spent).sum()) if spent else 0

    def _loaded(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            yield from self.loader
        except InputError as error:
            # A worker's comes wrapped in its traceback, of which the last line is what it said.
            said = str(error).splitlines()[-1]
            raise InputError(said.removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")) from error
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
    """Shuffled, augmented batches, as `TrainBatches` gives them, of images that are decoded on the way.

    Args:
        pictures: the training images.
        data_set: size and normalisation.
        transform: what happens to an image, see `train_transform`.
        batch_size: images a batch, over all processes.
        seed: with the epoch, it fixes the order and, with an image's index, what is drawn for it: the number of workers
            and of processes changes neither.
        device: where the batches go.
        channels_last: memory format of the batches.
        process: which of the processes this is, from 0.
        processes: how many share each batch: each takes every `processes`-th of its images.
        workers: processes that decode; 0 to decode here.
    """

    def __init__(
        self,
        pictures: Pictures,
        data_set: DataSet,
        transform: Transform,
        batch_size: int,
        seed: int,
        device: torch.device,
        channels_last: bool = False,
        process: int = 0,
        processes: int = 1,
        workers: int = 0,
    ) -> None:
        self.labels = torch.as_tensor(pictures.labels)
        self.batch_size, self.seed = batch_size, seed
        self.process, self.processes = process, processes
        self.loader = _Loader(pictures, data_set, transform, seed, device, channels_last, workers)

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, from 0; the last, smaller one is kept."""
        order = torch.randperm(len(self.labels), generator=seeded_generator(self.seed, epoch)).tolist()
        starts = range(0, len(order), self.batch_size)
        shares = [order[begin + self.process : begin + self.batch_size : self.processes] for begin in starts]
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
        device: where the batches go.
        channels_last: memory format of the batches.
        process: which of the processes this is, from 0.
        processes: how many share the images: each takes every `processes`-th, so that each image is taken once.
        workers: processes that decode; 0 to decode here.
    """

    def __init__(
        self,
        pictures: Pictures,
        data_set: DataSet,
        transform: Transform,
        batch_size: int,
        device: torch.device,
        channels_last: bool = False,
        process: int = 0,
        processes: int = 1,
        workers: int = 0,
    ) -> None:
        own = range(process, len(pictures.labels), processes)
        keys = [(0, index) for index in own]
        self.order = [keys[begin : begin + batch_size] for begin in range(0, len(keys), batch_size)]
        self.loader = _Loader(pictures, data_set, transform, None, device, channels_last, workers)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.loader.batches(self.order)
