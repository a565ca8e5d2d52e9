"""Folders of thumbnails beside the photos that they were made of: they are the same images once more, and smaller."""

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ltzoo.reading.content import open_regular
from ltzoo.reading.images import open_image

_LOOKED_AT = 3
"""How many images of a folder are compared with those above it."""

_SAME_SHAPE = 0.1
"""The largest difference of two aspect ratios: the sides of a thumbnail are rounded."""


def thumbnail_folders(root: Path, paths: Sequence[str]) -> set[str]:
    """Find folders whose images are smaller ones of those in the folder above, under the same names.

    Images are only opened in folders in which every name is one of the folder above.

    Args:
        root: what the paths are relative to.
        paths: the images.
    """
    if not any(path.count("/") > 1 for path in paths):
        return set()
    stems: dict[str, dict[str, str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        stems.setdefault(folder, {})[os.path.splitext(name)[0]] = path  # noqa: PTH122  ten times as fast as a Path
    found = set()
    for folder, images in stems.items():
        above = stems.get(folder.rpartition("/")[0], {}) if "/" in folder else {}
        if above and images.keys() <= above.keys():
            pairs = islice(((root / images[stem], root / above[stem]) for stem in images), _LOOKED_AT)
            if all(_is_smaller(small, large) for small, large in pairs):
                found.add(folder)
    return found


def _is_smaller(small: Path, large: Path) -> bool:
    """Return whether an image is a smaller one of the same shape; its sides may be exchanged, as by a rotation."""
    (short, long), (shorter, longer) = _sides(large), _sides(small)
    return 0 < shorter < short and longer < long and abs(longer * short / (shorter * long) - 1) < _SAME_SHAPE


def _sides(path: Path) -> list[int]:
    """Return the two sides of an image, the shorter one first; zeros where it cannot be opened."""
    try:
        with open_regular(path) as file, open_image(file) as image:
            return sorted(image.size)
    except Exception:  # Pillow passes on whatever the formats raise
        return [0, 0]
