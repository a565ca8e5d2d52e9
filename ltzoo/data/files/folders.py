"""A folder of class folders."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from timm.data.readers.img_extensions import get_img_extensions

from ltzoo.data.files.classes import check_folders, check_names, natural_key
from ltzoo.data.files.image_files import ImageFiles, Names, PathImages
from ltzoo.errors import InputError, first_few, printable

_MORE_SUFFIXES = {".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
"""Suffixes that torchvision reads in addition to timm's."""


def image_suffixes() -> set[str]:
    """Return the suffixes of images, in lower case: those of timm, also ones that a user added, and torchvision's."""
    return get_img_extensions(as_set=True) | _MORE_SUFFIXES


def suffix(name: str) -> str:
    """Return the suffix of a name in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  ten times as fast as a Path


def read_folder(root: Path) -> ImageFiles:
    """Find the images below a folder. As in timm, the innermost folder is the class, and names are sorted naturally.

    timm's own reader is not used: it silently skips unreadable folders and classes without images, and joins cat/2019
    and dog/2019 into one class 2019.

    Args:
        root: the folder of the class folders.

    Raises:
        InputError: a folder cannot be listed, is reached twice, or is a class without images; an image is not in a
            class folder; two class folders have the same name; a class name is invalid.
    """

    def refuse(error: OSError) -> None:
        reason = error.strerror or "unreadable"
        raise InputError(f"{printable(str(error.filename))} cannot be listed ({reason}); make it readable") from error

    suffixes = image_suffixes()
    found: list[str] = []
    empty: list[str] = []
    visited: dict[tuple[int, int], str] = {}
    for folder, below, files in os.walk(root, followlinks=True, onerror=refuse):
        status = Path(folder).stat()
        twin = visited.setdefault((status.st_dev, status.st_ino), folder)
        if twin != folder:
            raise InputError(
                f"{printable(folder)} is the same folder as {printable(twin)}, through a link; remove the link"
            )
        relative = "" if folder == str(root) else os.path.relpath(folder, root)
        images = [os.path.join(relative, name) for name in files if suffix(name) in suffixes]  # noqa: PTH118  as above
        found += images
        if relative and not images and not below and not _left_by_programs(relative):
            empty.append(relative)
    if not found:
        raise InputError(f"{root} has no image ({', '.join(sorted(suffixes))}); name another folder with --data-dir")
    if empty:
        raise InputError(
            f"{len(empty)} class folders of {root} have no image: {first_few([*map(printable, sorted(empty))])}; "
            "remove them, or put their images there"
        )
    order, labels, class_names = by_folder(found, str(root))
    reader = PathImages(str(root), Names.of_texts(found[k] for k in order))
    return ImageFiles(reader, np.arange(len(found)), labels, class_names, str(root))


def by_folder(paths: Sequence[str], origin: str) -> tuple[list[int], np.ndarray, tuple[str, ...]]:
    """Sort images, and take the innermost folder of each as its class.

    Args:
        paths: (N,) the images, relative to the folder of the class folders.
        origin: that folder, for the message.

    Returns:
        The sorted order of the images; their labels in that order, (N,) int64; the class names.

    Raises:
        InputError: an image is in no class folder or in a hidden one, two class folders have the same name, or a class
            name is invalid.
    """
    order = sorted(range(len(paths)), key=lambda k: natural_key(paths[k]))
    classes = []
    folder_of: dict[str, str] = {}
    for k in order:
        folder = os.path.dirname(paths[k])  # noqa: PTH120  as above
        if not folder:
            raise InputError(
                f"{printable(paths[k])} of {origin} is not in a class folder; move it into one, or remove it"
            )
        if _left_by_programs(folder):
            raise InputError(f"{printable(folder)} of {origin} has images but is not a class folder; remove it")
        name = folder.rpartition("/")[2]
        if folder_of.setdefault(name, folder) != folder:
            raise InputError(
                f"{printable(folder_of[name])} and {printable(folder)} of {origin} have the same name, which "
                "alone is the class; put all images of a class into one folder, or rename one"
            )
        classes.append(name)
    class_names = tuple(sorted(set(classes), key=natural_key))
    check_names(class_names, origin)
    check_folders(class_names, origin)
    numbers = {name: j for j, name in enumerate(class_names)}
    return order, np.fromiter((numbers[name] for name in classes), np.int64, len(classes)), class_names


def _left_by_programs(folder: str) -> bool:
    """Return whether a folder was left by a program: hidden (.ipynb_checkpoints), or from an archive made on a Mac."""
    return any(part.startswith(".") or part == "__MACOSX" for part in folder.split("/"))
