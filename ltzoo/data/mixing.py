"""Mixup and CutMix through timm: images of two classes each."""

import torch
from timm.data import Mixup
from torch import Tensor

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.random_state import seeded


def mix(
    images: Tensor, targets: Tensor, augmentation: Augmentation, *seeds: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Mix the images of a batch, first with last and so on; the one in the middle of an odd batch stays as it is.

    Args:
        images: (B, channels, H, W); changed in place.
        targets: (B,) int64.
        augmentation: its `mixup` and `cutmix`.
        *seeds: whole numbers that fix what is drawn.

    Returns:
        The images, their classes (B, 2) int64, and how much each of the two counts, (B, 2) float32; (B,) classes and
        None where nothing is to be mixed.
    """
    if not (augmentation.mixup or augmentation.cutmix):
        return images, targets, None
    count, half = len(images), len(images) // 2
    weights = torch.zeros(count, 2, device=images.device)
    weights[:, 0] = 1.0
    if half:
        pairs = torch.cat([torch.arange(half), torch.arange(count - half, count)]).to(images.device)
        mixup = Mixup(augmentation.mixup, augmentation.cutmix, label_smoothing=0.0, num_classes=2 * half)
        with seeded(*seeds):
            # Labelled by their own places, images tell how much of each place is in them.
            mixed, places = mixup(images[pairs], torch.arange(2 * half, device=images.device))
        images[pairs] = mixed
        own = places.diagonal()
        weights[pairs] = torch.stack([own, 1 - own], dim=1).to(weights.dtype)
    return images, torch.stack([targets, targets.flip(0)], dim=1), weights
