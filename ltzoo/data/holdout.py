"""Images held out of the training split, to choose settings by: the test set is no means of choosing."""

from dataclasses import replace

import numpy as np

from ltzoo.data.subset import Subset
from ltzoo.errors import InputError

HOLD_OUT = "hold_out"
"""The override of a run whose figures are of held-out images: [None, images of each class, or their share]."""


def hold_out(labels: np.ndarray, subset: Subset, per_class: int) -> tuple[Subset, np.ndarray]:
    """Hold the same number of images of each class out of the training split.

    Those that the long tail leaves out go first, in their stored order; only what is missing then is taken from the end
    of the subset's own images of the class. Nothing is drawn, so every run holds out the same.

    Args:
        labels: (N,) classes of the whole training split in its stored order.
        subset: the long-tailed training images.
        per_class: v, images of each class to hold out, at least 1.

    Returns:
        What is kept of the subset, in its order, and the (C * v,) int64 positions of the held-out images, class by
        class. No image is in both.

    Raises:
        InputError: v is below 1, or a class would be left without a training image.
    """
    if per_class < 1:
        raise InputError(f"of each class at least 1 image is held out, not {per_class}")
    unused = np.ones(len(labels), dtype=bool)
    unused[subset.indices] = False
    classes = labels[subset.indices]
    kept = np.ones(len(classes), dtype=bool)
    held_out = []
    for j in np.unique(labels):
        spare = np.flatnonzero(unused & (labels == j))[:per_class]
        own = np.flatnonzero(classes == j)
        missing = per_class - len(spare)
        if missing >= len(own):
            raise InputError(
                f"class {j} has {int((labels == j).sum())} training images, {len(own)} of them in the subset: to hold "
                f"{per_class} out would leave it none; hold out fewer"
            )
        given = own[len(own) - missing :]
        kept[given] = False
        held_out += [spare, subset.indices[given]]
    rest = replace(subset, rule=f"{subset.rule}, {per_class} a class held out", indices=subset.indices[kept])
    return rest, np.concatenate(held_out).astype(np.int64)
