"""Random crop and flip of a whole batch at once."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image.

    Attributes:
        crop_padding: black pixels put around the image before a crop of its own size is taken at random; 0: no crop.
        horizontal_flip: mirror every second image, at random.
    """

    crop_padding: int
    horizontal_flip: bool

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ValueError(f"crop_padding must be pixels from 0 on, not {self.crop_padding}")


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
