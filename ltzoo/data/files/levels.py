"""Which folder of CLASS/SESSION/photo.jpg is the class, and whether folders are one level off."""

from collections.abc import Iterable, Sequence

import numpy as np

from ltzoo.data.files.classes import check_folders, check_names, natural_key
from ltzoo.data.files.image_files import ClassFolder
from ltzoo.data.files.split_names import MISSPELT
from ltzoo.errors import InputError, first_few, named


def by_folder(
    paths: Sequence[str], origin: str, level: ClassFolder = "first"
) -> tuple[list[int], np.ndarray, tuple[str, ...]]:
    """Sort images, and take a folder of each as its class.

    Args:
        paths: (N,) the images, relative to the folder of the class folders.
        origin: that folder, for the message.
        level: of CLASS/SESSION/photo.jpg `first` takes CLASS, as torchvision, and `innermost` SESSION, as timm.

    Returns:
        The sorted order of the images; their labels in that order, (N,) int64; the class names.

    Raises:
        InputError: an image is in no class folder, two class folders have the same name, a class name is invalid, or
            the splits are below the classes.
    """
    order = sorted(range(len(paths)), key=lambda k: natural_key(paths[k]))
    loose = [paths[k] for k in order if "/" not in paths[k]]
    if loose:
        them = "it into one, or remove it" if len(loose) == 1 else "them into one, or remove them"
        verb = "is not in a class folder" if len(loose) == 1 else "are in no class folder"
        raise InputError(f"{first_few(loose)} of {named(origin)} {verb}; move {them}")
    if level == "first":
        _check_levels(paths, origin)
        classes = [paths[k].partition("/")[0] for k in order]
    else:
        classes = _innermost([paths[k] for k in order], origin)
    class_names = tuple(sorted(set(classes), key=natural_key))
    check_names(class_names, origin)
    check_folders(class_names, origin)
    numbers = {name: j for j, name in enumerate(class_names)}
    return order, np.fromiter((numbers[name] for name in classes), np.int64, len(classes)), class_names


def _innermost(paths: Iterable[str], origin: str) -> list[str]:
    classes = []
    folder_of: dict[str, str] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        name = folder.rpartition("/")[2]
        if folder_of.setdefault(name, folder) != folder:
            raise InputError(
                f"{named(folder_of[name])} and {named(folder)} of {named(origin)} have the same name, "
                "which alone is the class; put all images of a class into one folder, or rename one"
            )
        classes.append(name)
    return classes


def _check_levels(paths: Sequence[str], origin: str) -> None:
    """Check that no folder right below a class is called like a split: its test images would be trained on."""
    below: dict[str, set[str]] = {}
    deeper = False
    for path in paths:
        first, *rest = path.split("/")
        if len(rest) > 1 and rest[0].lower() in MISSPELT:
            below.setdefault(first, set()).add(rest[0])
            deeper = deeper or len(rest) > 2
    if not below:
        return
    first, splits = min(below.items(), key=lambda item: natural_key(item[0]))
    shown = " and ".join(named(f"{first}/{split}/") for split in sorted(splits))
    if deeper:
        advice = f"name {named(f'{origin}/{first}')} as the data folder, if that is the data set"
    else:
        advice = (
            "splits come first, as in train/CLASS/ and test/CLASS/; or list the images in a table with a column split"
        )
    raise InputError(f"{named(origin)} holds {shown}; {advice}")


def note_levels(paths: Iterable[str], origin: str, level: ClassFolder, classes: int) -> list[str]:
    """Say which folder is the class where images lie at several levels, and how to get the other reading."""
    folders = dict.fromkeys(path.rpartition("/")[0] for path in paths)
    deeper = sorted((folder for folder in folders if "/" in folder), key=natural_key)
    if not deeper:
        return []
    other = {folder.rpartition("/")[2] if level == "first" else folder.partition("/")[0] for folder in folders}
    here, there = ("first", "innermost") if level == "first" else ("innermost", "first")
    return [
        f"{named(origin)}: images lie in folders below class folders ({first_few(deeper)}); the {here} folder is "
        f"the class, so there are {classes:,}; --class-folder {there} takes the {there}, of which there are "
        f"{len(other):,}"
    ]
