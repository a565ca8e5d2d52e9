"""Five crops of each image at a larger resolution, for test-time augmentation."""

import numpy as np
from PIL import Image
from torchvision import transforms

from ltzoo.data.batches import Images
from ltzoo.data.benchmarks import DataSet

CROPS = 5
"""Crops of an image: the four corners and the centre."""


def side_for_crops(size: int) -> int:
    """Return the shorter side, in pixels, that images are resized to before they are cropped.

    Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts (LIFT), ICML 2024, resize to 248 for
    crops of 224; other sizes are in the same ratio.

    Args:
        size: height and width of a crop in pixels.
    """
    return max(size + 1, round(size * 248 / 224))


class FiveCrops:
    """Labelled images, each of them five times in a row as one of its crops.

    The crops are top left, top right, bottom left, bottom right and centre: the order and the rounding of torchvision's
    `FiveCrop`.

    Args:
        images: N images of any size.
        data_set: size of a crop, and how images are resized.
    """

    def __init__(self, images: Images, data_set: DataSet) -> None:
        self.images, self.size = images, data_set.image_size
        self.labels = np.repeat(np.asarray(images.labels), CROPS)
        interpolation = transforms.InterpolationMode(data_set.interpolation)
        self.resize = transforms.Resize(side_for_crops(self.size), interpolation)
        self._resized: tuple[int, Image.Image] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image.Image:
        """Return a crop, `size` by `size` pixels; crops of one image that are asked for in a row decode it once.

        Raises:
            InputError: the image cannot be read.
        """
        number, crop = divmod(index, CROPS)
        if self._resized is None or self._resized[0] != number:
            self._resized = number, self.resize(self.images.image(number))
        image = self._resized[1]
        right, bottom = image.width - self.size, image.height - self.size
        left, top = [(0, 0), (right, 0), (0, bottom), (right, bottom), (round(right / 2), round(bottom / 2))][crop]
        return image.crop((left, top, left + self.size, top + self.size))
