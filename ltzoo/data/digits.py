"""scikit-learn's digits: real images that need no download."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ltzoo.data.images import ImageSource

TEST_IMAGES = 40
"""Test images of each class."""


def digits_source(split: str) -> ImageSource:
    """Read the digits, 8 x 8 grey images enlarged to 16 x 16.

    The split is fixed: one seeded shuffle a class, the first 40 images for the test, the others for training.

    Args:
        split: `train` or `test`.
    """
    from sklearn.datasets import load_digits  # here, since it takes seconds and only the digits want it

    digits = load_digits()
    generator = np.random.RandomState(0)
    shuffled = [generator.permutation(np.flatnonzero(digits.target == j)) for j in range(10)]
    kept = [indices[:TEST_IMAGES] if split == "test" else indices[TEST_IMAGES:] for indices in shuffled]
    chosen = np.concatenate(kept)
    small = torch.from_numpy(digits.images[chosen]).float().unsqueeze(1) * (255 / 16)
    images = F.interpolate(small, size=16, mode="bilinear", align_corners=False).round().to(torch.uint8)

    def decode(indices: np.ndarray) -> Tensor:
        return images[torch.from_numpy(indices)].permute(0, 2, 3, 1).contiguous()

    return ImageSource(digits.target[chosen].astype(np.int64), decode, "scikit-learn's digits", "scikit-learn")
