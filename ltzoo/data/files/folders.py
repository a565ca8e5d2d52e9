"""A folder of class folders."""

import os
from pathlib import Path

import numpy as np

from ltzoo.data.files.image_files import ClassFolder, ImageFiles, Names, PathImages
from ltzoo.data.files.left_out import LeftOut
from ltzoo.data.files.levels import by_folder, note_levels
from ltzoo.data.files.thumbnails import thumbnail_folders
from ltzoo.errors import InputError, first_few, named
from ltzoo.reading.content import open_regular


def read_folder(root: Path, level: ClassFolder = "first") -> ImageFiles:
    """Find the images below a folder. Names are sorted naturally, as in timm.

    timm's own reader is not used: it silently skips unreadable folders and classes without images, and joins cat/2019
    and dog/2019 into one class 2019. torchvision's silently skips the suffixes that it does not know.

    Args:
        root: the folder of the class folders.
        level: which folder is the class, see `by_folder`.

    Raises:
        InputError: a folder cannot be listed, is reached twice, or is a class without images; an image is not in a
            class folder; two class folders have the same name; a class name is invalid; the folders are one level off.
    """

    def refuse(error: OSError) -> None:
        reason = error.strerror or "unreadable"
        raise InputError(f"{named(str(error.filename))} cannot be listed ({reason}); make it readable") from error

    left_out = LeftOut()
    found: list[str] = []
    leaves: list[str] = []
    visited: dict[tuple[int, int], str] = {}
    for folder, below, files in os.walk(root, followlinks=True, onerror=refuse):
        status = Path(folder).stat()
        twin = visited.setdefault((status.st_dev, status.st_ino), folder)
        if twin != folder:
            raise InputError(f"{named(folder)} is the same folder as {named(twin)}, through a link; remove the link")
        relative = "" if folder == str(root) else os.path.relpath(folder, root)
        below[:] = [name for name in below if left_out.is_walked(os.path.join(relative, name))]  # noqa: PTH118
        images = [path for name in files if left_out.is_image(path := os.path.join(relative, name))]  # noqa: PTH118
        found += images
        if relative and not images and (level == "first" or not below):
            leaves.append(relative)
    thumbnails = thumbnail_folders(root, found)
    if thumbnails:
        left_out.folders |= dict.fromkeys(thumbnails)
        found = [path for path in found if path.rpartition("/")[0] not in thumbnails]
    notes = left_out.notes(str(root), lambda path: open_regular(root / path))
    if not found:
        there = f" ({notes[-1].partition(': ')[2]})" if notes else ""
        raise InputError(f"{named(str(root))} has no image{there}; name another data folder")
    holding = {path.partition("/")[0] for path in found} if level == "first" else set()
    empty = sorted(leaf for leaf in leaves if level != "first" or ("/" not in leaf and leaf not in holding))
    if empty:
        without = [named(leaf) + (f" (but {there})" if (there := left_out.below(leaf)) else "") for leaf in empty]
        raise InputError(
            f"{len(empty)} class folders of {named(str(root))} have no image: {first_few(without)}; remove them, or "
            "put their images there"
        )
    order, labels, class_names = by_folder(found, str(root), level)
    notes += note_levels(found, str(root), level, len(class_names))
    reader = PathImages(str(root), Names.of_texts(found[k] for k in order))
    return ImageFiles(reader, np.arange(len(found)), labels, class_names, str(root), tuple(notes))
