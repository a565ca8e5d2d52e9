"""A folder of class folders."""

from pathlib import Path

import numpy as np

from ltzoo.data.files.image_files import ClassFolder, ImageFiles, Names, PathImages
from ltzoo.data.files.levels import by_folder, note_levels
from ltzoo.data.files.walk import walk_images
from ltzoo.errors import InputError, first_few, named


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
    found = walk_images(root, twins="refuse")
    leaves = [folder for folder, has_folders in found.without.items() if level == "first" or not has_folders]
    holding = {path.partition("/")[0] for path in found.paths} if level == "first" else set()
    empty = sorted(leaf for leaf in leaves if level != "first" or ("/" not in leaf and leaf not in holding))
    if empty:
        without = [named(leaf) + (f" (but {there})" if (there := found.left_out.below(leaf)) else "") for leaf in empty]
        raise InputError(
            f"{len(empty)} class folders of {named(str(root))} have no image: {first_few(without)}; remove them, or "
            "put their images there"
        )
    order, labels, class_names = by_folder(found.paths, str(root), level)
    notes = (*found.notes, *note_levels(found.paths, str(root), level, len(class_names)))
    reader = PathImages(str(root), Names.of_texts(found.paths[k] for k in order))
    return ImageFiles(reader, np.arange(len(order)), labels, class_names, str(root), notes)
