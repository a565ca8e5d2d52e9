"""Images held out of a training split in files, where there is no other split to measure on or to choose by."""

import numpy as np

from ltzoo.data.files.names import some
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError


def hold_out_files(files: ImageFiles, amount: int | float) -> tuple[ImageFiles, ImageFiles]:
    """Hold images of each class out of a split.

    They are drawn, since neighbours in a folder are alike; the generator starts at 0 whatever the run's seed, so every
    run holds out the same.

    Args:
        files: the training split.
        amount: a whole number from 1 on: so many of each class; a share between 0 and 1: that part of each class,
            rounded, but at least one image.

    Returns:
        What is kept and what is held out, each in the stored order.

    Raises:
        InputError: the amount is neither, or a class would be left without a training image; up to five are named.
    """
    whole = isinstance(amount, int) and amount >= 1
    if not whole and not (isinstance(amount, float) and 0 < amount < 1):
        raise InputError(f"held out is a whole number of images from 1 on or a share between 0 and 1, not {amount!r}")
    counts = np.array(files.class_counts)
    held = np.full_like(counts, amount) if whole else np.maximum(1, np.rint(counts * amount)).astype(np.int64)
    short = [repr(files.class_names[j]) for j in np.flatnonzero(held >= counts)]
    if short:
        raise InputError(
            f"to hold {amount} of each class out of {files.origin} would leave {len(short)} classes without a training "
            f"image: {some(short)}; hold fewer out, add images, or bring a test split"
        )
    generator = np.random.RandomState(0)
    mask = np.zeros(len(files), dtype=bool)
    for j, count in enumerate(held.tolist()):
        mask[generator.permutation(np.flatnonzero(files.labels == j))[:count]] = True
    return files.chosen(np.flatnonzero(~mask)), files.chosen(np.flatnonzero(mask))
