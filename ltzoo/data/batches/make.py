"""Make the batches that fit the images: gathered in memory, or decoded one image at a time."""

from ltzoo.data.batches.decoded import EvalLoader, TrainLoader
from ltzoo.data.batches.in_memory import EvalBatches, TrainBatches
from ltzoo.data.batches.settings import BatchSettings, Delivery, Images, batch_sizes
from ltzoo.data.benchmarks import DataSet
from ltzoo.data.memory import LabelledImages

_EVAL_BATCH_SIZE = 128
"""Images per evaluation batch where they are decoded."""
_IN_MEMORY, _IN_MEMORY_ON_CPU = 500, 125
"""Images per evaluation batch where they are in memory; on a CPU, activations of many images do not fit its caches."""


def decodes(images: Images, settings: BatchSettings) -> bool:
    """Return whether images are decoded or augmented one at a time; otherwise whole batches are gathered in memory."""
    return not (isinstance(images, LabelledImages) and settings.batched)


def epoch_sizes(images: Images, settings: BatchSettings) -> list[int]:
    """Return the batch sizes of an epoch of training on images, or on their features, over all processes."""
    drawn = settings.sampler.length(len(images.labels), settings.batch_size)
    return batch_sizes(drawn, settings.batch_size, joined=decodes(images, settings))


def make_train_batches(images: Images, settings: BatchSettings, delivery: Delivery) -> TrainBatches | TrainLoader:
    """Make the batches of a training run, see `TrainBatches` and `TrainLoader`.

    Images in memory are cropped and flipped a whole batch at a time, if that is all of their augmentation in each view.
    """
    if isinstance(images, LabelledImages) and settings.batched:
        return TrainBatches(images, settings, delivery)
    return TrainLoader(images, settings, delivery)


def make_eval_batches(images: Images, data_set: DataSet, delivery: Delivery) -> EvalBatches | EvalLoader:
    """Make the batches of images to measure on; each image goes to one process."""
    if isinstance(images, LabelledImages):
        part = slice(delivery.process, None, delivery.processes)
        own = LabelledImages(images.images[part], images.labels[part])
        batch_size = _IN_MEMORY_ON_CPU if delivery.device.type == "cpu" else _IN_MEMORY
        return EvalBatches(own, data_set, batch_size, delivery.device, delivery.channels_last)
    return EvalLoader(images, data_set, _EVAL_BATCH_SIZE, delivery)
