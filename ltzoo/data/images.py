"""Images in memory, and sources that decode them when asked."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """Decoded images of one split.

    Attributes:
        images: (N, H, W, channels) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def image(self, index: int) -> Image.Image:
        """Show one as Pillow does: RGB, or grey where there is one channel."""
        pixels = self.images[index].numpy()
        return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


@dataclass(frozen=True)
class ImageSource:
    """A split of a data set as it is stored. Labels are read at once, images only for the indices asked for.

    Attributes:
        labels: (N,) int64, in the stored order.
        decode: indices (n,) to images (n, H, W, channels) uint8.
        origin: where the split was read, in words.
        layout: the order that the images are stored in: `torchvision`, `parquet`, `scikit-learn`.
    """

    labels: np.ndarray
    decode: Callable[[np.ndarray], Tensor]
    origin: str
    layout: str
