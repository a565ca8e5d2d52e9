"""Which batches images get: gathered in memory, or decoded on the way."""

import torch

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches import EvalBatches, TrainBatches
from ltzoo.data.datasets import DataSet
from ltzoo.data.images import LabelledImages
from ltzoo.data.loader import EvalLoader, Pictures, TrainLoader
from ltzoo.data.transforms import eval_transform, train_transform


def make_train_batches(
    images: Pictures,
    data_set: DataSet,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    device: torch.device,
    channels_last: bool = False,
    process: int = 0,
    processes: int = 1,
    workers: int = 0,
) -> TrainBatches | TrainLoader:
    """Make the batches of a training, see `TrainBatches` and `TrainLoader`.

    Images in memory are cropped and flipped a whole batch at once, where that is all that happens to them.
    """
    shared = (process, processes)
    if isinstance(images, LabelledImages) and augmentation.batched:
        return TrainBatches(images, data_set, augmentation, batch_size, seed, device, channels_last, *shared)
    transform = train_transform(data_set, augmentation)
    return TrainLoader(images, data_set, transform, batch_size, seed, device, channels_last, *shared, workers)


def make_eval_batches(
    images: Pictures,
    data_set: DataSet,
    device: torch.device,
    channels_last: bool = False,
    process: int = 0,
    processes: int = 1,
    workers: int = 0,
) -> EvalBatches | EvalLoader:
    """Make the batches of images that are measured; of several processes, each takes every `processes`-th image."""
    if isinstance(images, LabelledImages):
        part = slice(process, None, processes)
        own = LabelledImages(images.images[part], images.labels[part])
        return EvalBatches(own, data_set, device=device, channels_last=channels_last)
    transform = eval_transform(data_set)
    return EvalLoader(images, data_set, transform, 128, device, channels_last, process, processes, workers)
