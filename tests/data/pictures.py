"""Pictures made for a test, each of its own colours."""

import numpy as np
from PIL import Image


class Made:
    """So many smooth pictures of a size, label j for the j-th of every `classes`."""

    def __init__(self, count: int, size: tuple[int, int] = (40, 32), classes: int = 3) -> None:
        self.labels = np.arange(count, dtype=np.int64) % classes
        self.size = size

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image.Image:
        small = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return Image.fromarray(small).resize(self.size, Image.Resampling.BICUBIC)
