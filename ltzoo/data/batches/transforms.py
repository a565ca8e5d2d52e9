"""Transforms from images to model inputs, and mixup and CutMix of batches, built on timm and torchvision."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import Mixup, create_transform
from torch import Tensor
from torchvision import transforms

from ltzoo.data.augmentation import CIFAR10_POLICY, Augmentation
from ltzoo.data.batches.in_memory import cut_out
from ltzoo.data.benchmarks import DataSet
from ltzoo.data.seeding import temporary_seed
from ltzoo.errors import InputError, first_line

_BLUR_REACH = 11
"""Pixels on each side that timm's Gaussian blur takes into account; it mirrors the image at its border."""

Transform = Callable[[Image.Image], np.ndarray | Tensor]
"""From a PIL image to (channels, H, W) uint8; normalisation follows on the device."""


def train_transform(data_set: DataSet, augmentation: Augmentation) -> Transform:
    """Make the transform of a training image; it draws from the global generators of Python, NumPy and torch.

    Args:
        data_set: size and interpolation.
        augmentation: how the image is augmented; `mix` does the part that mixes images of a batch.

    Raises:
        InputError: timm does not know the policy `auto_augment`, or the images are too small to be blurred.
    """
    if augmentation.gaussian_blur_prob and data_set.image_size <= _BLUR_REACH:
        raise InputError(
            f"gaussian_blur_prob needs images of more than {_BLUR_REACH} pixels a side, not {data_set.image_size}; "
            "set it to 0"
        )
    whole = augmentation.min_scale is None
    jitter, hue, prob = augmentation.color_jitter, augmentation.color_jitter_hue, augmentation.color_jitter_prob
    strengths = (jitter, jitter, jitter, hue)
    of_cifar = augmentation.auto_augment == CIFAR10_POLICY
    try:
        geometry, colors, pixels = create_transform(
            _size(data_set),
            is_training=True,
            # A crop of the whole image leaves an image of the right size as it is.
            scale=(augmentation.min_scale or 1.0, 1.0),
            ratio=(1.0, 1.0) if whole else (3 / 4, 4 / 3),
            hflip=0.5 if augmentation.horizontal_flip else 0.0,
            color_jitter=strengths,
            color_jitter_prob=None if prob == 1 else prob,
            grayscale_prob=augmentation.grayscale_prob,
            gaussian_blur_prob=augmentation.gaussian_blur_prob,
            auto_augment=None if of_cifar else augmentation.auto_augment,
            interpolation=augmentation.interpolation or data_set.interpolation,
            mean=data_set.mean,
            use_prefetcher=True,
            separate=True,
        )
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            f"timm does not know the augmentation {augmentation.auto_augment!r} ({first_line(error)}); write it as in "
            "rand-m9-mstd0.5"
        ) from error
    _posterize_to_one_bit(colors)
    steps: list[Callable] = _fitted(data_set) if whole else []
    if augmentation.crop_padding:
        steps.append(transforms.RandomCrop(data_set.image_size, augmentation.crop_padding))
    steps += geometry.transforms
    if augmentation.rotation:
        steps.append(transforms.RandomRotation(augmentation.rotation))
    if augmentation.jitter_before_policy:  # timm ignores the jitter then
        steps.append(transforms.RandomApply([transforms.ColorJitter(*strengths)], prob))
    if of_cifar:
        # Grey where the image has moved away, as the code of methods with this policy has it.
        steps.append(transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10, fill=[128]))
    steps += [*colors.transforms, *pixels.transforms]
    if augmentation.cutout:
        steps.append(partial(_black_out_square, augmentation.cutout))
    return transforms.Compose(steps)


def crop_to_size(data_set: DataSet) -> Transform:
    """Make the transform of a test image: resize the shorter side to size / crop_pct, then crop the centre.

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


class EvalTransform:
    """The transform of a test image with normalisation: exactly the pixels that evaluation measures on.

    Args:
        data_set: size, crop_pct, interpolation and normalisation.
        in_memory: the images are those of `ltzoo.data.memory`: they have their size, and mean and standard deviation
            are scaled to 0 .. 255 in float32, as `EvalBatches` does; otherwise in float64, as timm's loader does.
    """

    def __init__(self, data_set: DataSet, in_memory: bool) -> None:
        self.pixels = _channels_first if in_memory else crop_to_size(data_set)
        scaled = (
            (torch.tensor(values) * 255 if in_memory else torch.tensor([value * 255 for value in values]))
            for values in (data_set.mean, data_set.std)
        )
        self.mean, self.std = (values.view(-1, 1, 1) for values in scaled)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the normalised pixels, (channels, H, W) float32."""
        return (torch.as_tensor(self.pixels(image)) - self.mean) / self.std


def _channels_first(image: Image.Image) -> np.ndarray:
    """Return the pixels of an RGB or grey image, (channels, H, W) uint8."""
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _black_out_square(side: int, pixels: Tensor) -> Tensor:
    """Apply Cutout to (channels, H, W) uint8 pixels, see `cut_out`."""
    height, width = pixels.shape[-2:]
    row, column = torch.randint(height, (1,)), torch.randint(width, (1,))
    return cut_out(pixels.permute(1, 2, 0).unsqueeze(0), side, row, column)[0].permute(2, 0, 1)


def _posterize_to_one_bit(drawn: transforms.Compose) -> None:
    """Make timm's policies posterize to at least one bit: some use zero bits, a black image, which Pillow refuses."""
    for part in drawn.transforms:
        for operation in (*getattr(part, "ops", ()), *chain.from_iterable(getattr(part, "policy", ()))):
            if operation.name.startswith("Posterize"):
                operation.level_fn = partial(_at_least_one_bit, operation.level_fn)


def _at_least_one_bit(
    level_fn: Callable[[float, Mapping[str, Any]], tuple[int]], level: float, settings: Mapping[str, Any]
) -> tuple[int]:
    (bits,) = level_fn(level, settings)
    return (max(1, bits),)


def _size(data_set: DataSet) -> tuple[int, int, int]:
    return data_set.channels, data_set.image_size, data_set.image_size


def _fitted(data_set: DataSet) -> list[Callable]:
    """Bring an image to its size without randomness, as `crop_to_size` does."""
    shorter = math.floor(data_set.image_size / data_set.crop_pct)
    interpolation = transforms.InterpolationMode(data_set.interpolation)
    return [transforms.Resize(shorter, interpolation), transforms.CenterCrop(data_set.image_size)]


def mix(
    images: Tensor, targets: Tensor, augmentation: Augmentation, *seeds: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Apply mixup or CutMix: the first image is mixed with the last, and so on; the middle of an odd batch is kept.

    Args:
        images: (B, channels, H, W); changed in place.
        targets: (B,) int64.
        augmentation: its `mixup` and `cutmix`.
        *seeds: whole numbers that determine the random draws.

    Returns:
        The images, their two classes (B, 2) int64 and the weights of these, (B, 2) float32; without mixup and CutMix
        the (B,) classes and None.
    """
    if not (augmentation.mixup or augmentation.cutmix):
        return images, targets, None
    count, half = len(images), len(images) // 2
    weights = torch.zeros(count, 2, device=images.device)
    weights[:, 0] = 1.0
    if half:
        pairs = torch.cat([torch.arange(half), torch.arange(count - half, count)]).to(images.device)
        mixup = Mixup(augmentation.mixup, augmentation.cutmix, label_smoothing=0.0, num_classes=2 * half)
        with temporary_seed(*seeds):
            # With its position as its label, each image comes back with its shares of the two positions.
            mixed, places = mixup(images[pairs], torch.arange(2 * half, device=images.device))
        images[pairs] = mixed
        own = places.diagonal()
        weights[pairs] = torch.stack([own, 1 - own], dim=1).to(weights.dtype)
    return images, torch.stack([targets, targets.flip(0)], dim=1), weights
