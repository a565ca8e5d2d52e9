"""Mixing the views of images with those of images from a second stream, as GLMC does."""

from collections.abc import Sequence

import numpy as np
import torch
from timm.data.mixup import rand_bbox
from torch import Tensor

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches.transforms import mix
from ltzoo.data.seeding import temporary_seed


def mix_batch(
    images: Tensor, targets: Tensor, views: Sequence[Augmentation], *seeds: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Apply mixup and CutMix to a batch: by `mix` within the batch, or by `mix_views` if it has partners.

    Args:
        images: (B, channels, H, W), (B, V, channels, H, W), or with partners (B, 2V, channels, H, W).
        targets: (B,) int64; with partners (B, 2).
        views: how each view is augmented; within the batch, the first one's `mixup` and `cutmix` count.
        *seeds: whole numbers that determine the random draws.

    Returns:
        See `mix`.
    """
    if targets.ndim == 1:
        return mix(images, targets, views[0], *seeds)
    return mix_views(images, targets, views, *seeds)


def mix_views(
    images: Tensor, targets: Tensor, views: Sequence[Augmentation], *seeds: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix each view of each image with the same view of its partner (Du 2023).

    One lambda ~ Beta(alpha, alpha) holds for the whole batch and all views. A view with `mixup` is lambda times the
    image plus 1 - lambda times its partner; one with `cutmix` is the image with a box of its partner. The box covers a
    share of 1 - lambda before it is clipped at the border, and has one place in the whole batch. The clipping does not
    change the labels' weights.

    Args:
        images: (B, 2V, channels, H, W): V views of each image, then V of its partner.
        targets: (B, 2) int64, classes of image and partner.
        views: V of them, each with either `mixup` or `cutmix`, all with the same alpha.
        *seeds: whole numbers that determine the random draws.

    Returns:
        Mixed views (B, V, channels, H, W), the classes, and their weights (B, 2) float32, lambda and 1 - lambda.
    """
    count = len(views)
    alpha = views[0].mixup or views[0].cutmix
    with temporary_seed(*seeds):
        share = float(np.random.beta(alpha, alpha))  # noqa: NPY002  timm draws from there
        top, bottom, left, right = map(int, rand_bbox(images.shape, share))
    mixed = images[:, :count].clone()
    partners = images[:, count:]
    for number, view in enumerate(views):
        if view.mixup:
            mixed[:, number].mul_(share).add_(partners[:, number], alpha=1 - share)
        else:
            box = (slice(None), number, slice(None), slice(top, bottom), slice(left, right))
            mixed[box] = partners[box]
    weights = torch.tensor([share, 1 - share], device=images.device).expand(len(images), 2).contiguous()
    return mixed, targets, weights
