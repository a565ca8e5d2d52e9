"""From an image to the pixels that a model sees, through timm and torchvision."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.datasets import DataSet
from ltzoo.errors import InputError, first_line

Transform = Callable[[Image.Image], np.ndarray]
"""An image to (channels, H, W) uint8; mean and standard deviation are for the device."""


def train_transform(data_set: DataSet, augmentation: Augmentation) -> Transform:
    """Make what happens to a training image; it draws from Python's, NumPy's and torch's own generators.

    Args:
        data_set: size and interpolation.
        augmentation: what is drawn; mixing is for batches.

    Raises:
        InputError: timm does not know the policy `auto_augment`.
    """
    whole = augmentation.min_scale is None
    try:
        drawn = create_transform(
            _size(data_set),
            is_training=True,
            # An image that has its size already is left as it is by a crop of all of it.
            scale=(augmentation.min_scale or 1.0, 1.0),
            ratio=(1.0, 1.0) if whole else (3 / 4, 4 / 3),
            hflip=0.5 if augmentation.horizontal_flip else 0.0,
            color_jitter=augmentation.color_jitter,
            auto_augment=augmentation.auto_augment,
            interpolation=data_set.interpolation,
            mean=data_set.mean,
            use_prefetcher=True,
        )
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            f"timm knows no augmentation {augmentation.auto_augment!r} ({first_line(error)}); as in rand-m9-mstd0.5"
        ) from error
    _keep_a_bit(drawn)
    before: list[Callable] = _fitted(data_set) if whole else []
    if augmentation.crop_padding:
        before.append(transforms.RandomCrop(data_set.image_size, augmentation.crop_padding))
    return transforms.Compose([*before, drawn])


def eval_transform(data_set: DataSet) -> Transform:
    """Make what happens to a test image: the shorter side to size / crop_pct, then the middle.

    Args:
        data_set: size, crop_pct and interpolation.
    """
    return create_transform(
        _size(data_set),
        interpolation=data_set.interpolation,
        crop_pct=data_set.crop_pct,
        mean=data_set.mean,
        use_prefetcher=True,
    )


def _keep_a_bit(drawn: transforms.Compose) -> None:
    """Let timm's policies posterize to one bit at least: some ask for none, a black image, which Pillow refuses."""
    for part in drawn.transforms:
        for operation in (*getattr(part, "ops", ()), *chain.from_iterable(getattr(part, "policy", ()))):
            if operation.name.startswith("Posterize"):
                operation.level_fn = partial(_one_bit_or_more, operation.level_fn)


def _one_bit_or_more(
    level_fn: Callable[[float, Mapping[str, Any]], tuple[int]], level: float, settings: Mapping[str, Any]
) -> tuple[int]:
    (bits,) = level_fn(level, settings)
    return (max(1, bits),)


def _size(data_set: DataSet) -> tuple[int, int, int]:
    return data_set.channels, data_set.image_size, data_set.image_size


def _fitted(data_set: DataSet) -> list[Callable]:
    """Bring an image to its size without a draw, as `eval_transform` does."""
    shorter = math.floor(data_set.image_size / data_set.crop_pct)
    interpolation = transforms.InterpolationMode(data_set.interpolation)
    return [transforms.Resize(shorter, interpolation), transforms.CenterCrop(data_set.image_size)]
