"""Batches for training and evaluation, of images in memory, of images in files, and of features."""

from ltzoo.data.batches.decoded import EvalLoader, TrainLoader
from ltzoo.data.batches.features import FeatureBatches, share_of_features
from ltzoo.data.batches.in_memory import EvalBatches, TrainBatches
from ltzoo.data.batches.make import decodes, epoch_sizes, make_eval_batches, make_train_batches
from ltzoo.data.batches.mixed_views import mix_batch, mix_views
from ltzoo.data.batches.settings import BatchSettings, Delivery, Images, batch_sizes, in_memory_format
from ltzoo.data.batches.transforms import EvalTransform, crop_to_size, mix, train_transform

__all__ = [
    "BatchSettings",
    "Delivery",
    "EvalBatches",
    "EvalLoader",
    "EvalTransform",
    "FeatureBatches",
    "Images",
    "TrainBatches",
    "TrainLoader",
    "batch_sizes",
    "crop_to_size",
    "decodes",
    "epoch_sizes",
    "in_memory_format",
    "make_eval_batches",
    "make_train_batches",
    "mix",
    "mix_batch",
    "mix_views",
    "share_of_features",
    "train_transform",
]
