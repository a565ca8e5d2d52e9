"""Which batches images get: gathered in memory, or decoded on the way."""

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches import EvalBatches, TrainBatches
from ltzoo.data.datasets import DataSet
from ltzoo.data.delivery import Delivery
from ltzoo.data.images import LabelledImages
from ltzoo.data.loader import EvalLoader, Pictures, TrainLoader
from ltzoo.data.sampler import EACH_IMAGE_ONCE, Sampler
from ltzoo.data.transforms import eval_transform, train_transform

_MEASURED_AT_ONCE = 128
"""Images of a batch that is decoded to be measured."""


def decodes(images: Pictures, augmentation: Augmentation) -> bool:
    """Say whether images are decoded, or drawn upon by timm, one after the other; else they are gathered in memory."""
    return not (isinstance(images, LabelledImages) and augmentation.batched)


def make_train_batches(
    images: Pictures,
    data_set: DataSet,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    delivery: Delivery,
    sampler: Sampler = EACH_IMAGE_ONCE,
) -> TrainBatches | TrainLoader:
    """Make the batches of a training, see `TrainBatches` and `TrainLoader`.

    Images in memory are cropped and flipped a whole batch at once, where that is all that happens to them.
    """
    if isinstance(images, LabelledImages) and augmentation.batched:
        return TrainBatches(images, data_set, augmentation, batch_size, seed, delivery, sampler)
    transform = train_transform(data_set, augmentation)
    return TrainLoader(images, data_set, transform, batch_size, seed, delivery, sampler)


def make_eval_batches(images: Pictures, data_set: DataSet, delivery: Delivery) -> EvalBatches | EvalLoader:
    """Make the batches of images that are measured, each by one process."""
    if isinstance(images, LabelledImages):
        part = slice(delivery.process, None, delivery.processes)
        own = LabelledImages(images.images[part], images.labels[part])
        return EvalBatches(own, data_set, device=delivery.device, channels_last=delivery.channels_last)
    return EvalLoader(images, data_set, eval_transform(data_set), _MEASURED_AT_ONCE, delivery)
