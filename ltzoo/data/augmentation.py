"""Random crop and flip of a whole batch at once."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image; all but the first two through timm.

    Attributes:
        crop_padding: black pixels put around the image before a crop of its own size is taken at random; 0: no crop.
        horizontal_flip: mirror every second image, at random.
        min_scale: the smallest share of the image's area that a crop of random size and shape takes (timm's --scale);
            None: no such crop.
        color_jitter: how far brightness, contrast and saturation are changed, at random; 0: not at all.
        auto_augment: a policy in timm's words (--aa), such as `rand-m9-mstd0.5`; None: none. With one, timm leaves
            `color_jitter` out, unless it is a `3a`.
        mixup: alpha of mixup (Zhang 2018); 0: none. With both, each batch gets one of the two. Each process mixes its
            own share of the batch.
        cutmix: alpha of CutMix (Yun 2019); 0: none.
    """

    crop_padding: int
    horizontal_flip: bool
    min_scale: float | None = None
    color_jitter: float = 0.0
    auto_augment: str | None = None
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding must be pixels from 0 on, not {self.crop_padding}")
        if self.min_scale is not None and not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale must be a share of the area, above 0 and up to 1, not {self.min_scale}")
        if self.min_scale is not None and self.crop_padding:
            raise ValueError("crop_padding and min_scale are two ways to crop; choose one")
        for name in ("color_jitter", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or above, not {getattr(self, name)}")

        if self.color_jitter and self.auto_augment is not None and "3a" not in self.auto_augment:
            raise ValueError(
                f"with auto_augment {self.auto_augment} (--aa) timm leaves color_jitter {self.color_jitter} out; "
                "add --color-jitter 0, or leave --aa away"
            )

    @property
    def batched(self) -> bool:
        """Whether all that happens to the pixels is a crop and a flip, which `crop_and_flip` does to a whole batch."""
        return self.min_scale is None and not self.color_jitter and self.auto_augment is None


def pad(images: Tensor, padding: int) -> Tensor:
    """Put `padding` black pixels on each side of (N, H, W, channels) images."""
    return F.pad(images, (0, 0, padding, padding, padding, padding))


def draw(count: int, augmentation: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw what happens to each of `count` images.

    Returns:
        Rows and columns at which the crops begin, (count,) int64 in 0 .. 2 * padding, and flips, (count,) bool. The
        distribution is that of torchvision's `RandomCrop(size, padding)` and `RandomHorizontalFlip()`.
    """
    rows, columns = torch.randint(2 * augmentation.crop_padding + 1, (2, count), generator=generator)
    flips = torch.rand(count, generator=generator) < 0.5
    return rows, columns, flips if augmentation.horizontal_flip else torch.zeros_like(flips)


def crop_and_flip(padded: Tensor, chosen: Tensor, rows: Tensor, columns: Tensor, flips: Tensor, size: int) -> Tensor:
    """Crop and flip the chosen images in one gather.

    Args:
        padded: (N, H + 2p, W + 2p, channels) padded images.
        chosen: (B,) their indices.
        rows: (B,) first row of each crop.
        columns: (B,) first column of each crop.
        flips: (B,) bool.
        size: height and width of the crops.

    Returns:
        (B, size, size, channels), in the dtype of `padded`.
    """
    steps = torch.arange(size, device=padded.device)
    across = torch.where(flips[:, None], size - 1 - steps, steps)
    y = rows[:, None] + steps
    x = columns[:, None] + across
    return padded[chosen[:, None, None], y[:, :, None], x[:, None, :]]
