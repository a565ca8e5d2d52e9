"""Holding images of each class out of a split in files, to measure on them."""

import numpy as np

from ltzoo.data.files.image_files import ImageFiles
from ltzoo.errors import InputError, counted, first_few


def hold_out_files(files: ImageFiles, amount: int | float) -> tuple[ImageFiles, ImageFiles]:
    """Hold images of each class out of a split.

    They are drawn at random, since neighbours in a folder are similar; the generator is seeded with 0 whatever the
    run's seed, so that every run holds out the same images.

    Args:
        files: the training split.
        amount: a whole number from 1 on: images per class; or a share between 0 and 1 of each class, rounded, but at
            least one image.

    Returns:
        The kept and the held-out images, each in the stored order.

    Raises:
        InputError: the amount is neither, or a class would have no training image left; up to five are named.
    """
    whole = isinstance(amount, int) and amount >= 1
    if not whole and not (isinstance(amount, float) and 0 < amount < 1):
        raise InputError(
            f"held out must be a whole number of images, at least 1, or a share between 0 and 1, not {amount!r}"
        )
    counts = np.array(files.class_counts)
    held = np.full_like(counts, amount) if whole else np.maximum(1, np.rint(counts * amount)).astype(np.int64)
    short = np.flatnonzero(held >= counts)
    if len(short):
        names = first_few([repr(files.class_names[j]) for j in short])
        fewer = "hold out fewer, add images" if whole and amount > 1 else "add images to each, leave the class out"
        raise InputError(
            f"to hold {amount} of each class out of {files.origin} would leave "
            f"{counted(len(short), 'class', 'classes')} without a training image: {names}; {fewer}, or add a test split"
        )
    generator = np.random.RandomState(0)
    mask = np.zeros(len(files), dtype=bool)
    for j, count in enumerate(held.tolist()):
        mask[generator.permutation(np.flatnonzero(files.labels == j))[:count]] = True
    return files.chosen(np.flatnonzero(~mask)), files.chosen(np.flatnonzero(mask))
