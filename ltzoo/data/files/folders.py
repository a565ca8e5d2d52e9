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
"""What torchvision reads beside timm's own."""


def image_suffixes() -> set[str]:
    """List the suffixes of images, in lower case: timm's, to which its user may have added some, and torchvision's."""
    return get_img_extensions(as_set=True) | _MORE_SUFFIXES


def suffix(name: str) -> str:
    """Give a name's suffix in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  a Path takes ten times as long


def read_folder(root: Path) -> ImageFiles:
    """Find the images below a folder. As in timm, the innermost folder's name is the class, and names sort naturally.

    timm's own reader is not asked: it passes in silence over folders that may not be listed and classes without images,
    and takes cat/2019 and dog/2019 for one class 2019.

    Args:
        root: holds the class folders.

    Raises:
        InputError: a folder cannot be listed, is reached twice, or is a class without an image; an image lies in no
            class folder; two class folders have one name; class names cannot be used.
    """

    def refuse(error: OSError) -> None:
        reason = error.strerror or "unreadable"
        raise InputError(f"{printable(str(error.filename))} cannot be listed ({reason}); let it be read") from error

    suffixes = image_suffixes()
    found: list[str] = []
    empty: list[str] = []
    visited: dict[tuple[int, int], str] = {}
    for folder, below, files in os.walk(root, followlinks=True, onerror=refuse):
        status = Path(folder).stat()
        twin = visited.setdefault((status.st_dev, status.st_ino), folder)
        if twin != folder:
            raise InputError(f"{printable(folder)} is {printable(twin)} once more, through a link; remove the link")
        relative = "" if folder == str(root) else os.path.relpath(folder, root)
        images = [os.path.join(relative, name) for name in files if suffix(name) in suffixes]  # noqa: PTH118  as above
        found += images
        if relative and not images and not below and not _aside(relative):
            empty.append(relative)
    if not found:
        raise InputError(f"{root} holds no image ({', '.join(sorted(suffixes))}); name another folder with --data-dir")
    if empty:
        raise InputError(
            f"{len(empty)} class folders of {root} hold no image: {first_few([*map(printable, sorted(empty))])}; "
            "remove them, or put their images there"
        )
    order, labels, class_names = by_folder(found, str(root))
    reader = PathImages(str(root), Names.of_texts(found[k] for k in order))
    return ImageFiles(reader, np.arange(len(found)), labels, class_names, str(root))


def by_folder(paths: Sequence[str], origin: str) -> tuple[list[int], np.ndarray, tuple[str, ...]]:
    """Sort images, and name each one's class after the folder that it lies in.

    Args:
        paths: (N,) the images, relative to what holds the class folders.
        origin: what that is, for the message.

    Returns:
        The order in which the images are to stand; their labels in that order, (N,) int64; the class names.

    Raises:
        InputError: an image lies in no class folder or in a hidden one, two class folders have one name, or class names
            cannot be used.
    """
    order = sorted(range(len(paths)), key=lambda k: natural_key(paths[k]))
    classes = []
    lies: dict[str, str] = {}
    for k in order:
        folder = os.path.dirname(paths[k])  # noqa: PTH120  as above
        if not folder:
            raise InputError(f"{printable(paths[k])} of {origin} lies in no class folder; move it into one, or away")
        if _aside(folder):
            raise InputError(f"{printable(folder)} of {origin} holds images and is no class; remove it")
        name = folder.rpartition("/")[2]
        if lies.setdefault(name, folder) != folder:
            raise InputError(
                f"{printable(lies[name])} and {printable(folder)} of {origin} are two folders of one name, and the "
                "innermost folder's name alone is the class; put all images of a class into one folder, or rename one"
            )
        classes.append(name)
    class_names = tuple(sorted(set(classes), key=natural_key))
    check_names(class_names, origin)
    check_folders(class_names, origin)
    numbers = {name: j for j, name in enumerate(class_names)}
    return order, np.fromiter((numbers[name] for name in classes), np.int64, len(classes)), class_names


def _aside(folder: str) -> bool:
    """Tell a folder that programs leave beside the data: hidden (.ipynb_checkpoints), or from a Mac's archive."""
    return any(part.startswith(".") or part == "__MACOSX" for part in folder.split("/"))
