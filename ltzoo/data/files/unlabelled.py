"""Images without labels: named one by one, found in folders, or listed in files."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ltzoo.data.files.advice import where_image_is
from ltzoo.data.files.classes import natural_key
from ltzoo.data.files.image_files import DataLocation, ImageFiles, Names, PathImages
from ltzoo.data.files.left_out import image_suffixes, suffix
from ltzoo.data.files.lists import open_list
from ltzoo.data.files.split_names import LIST_SUFFIXES
from ltzoo.data.files.walk import walk_images
from ltzoo.errors import InputError, first_line, named, printable, shortened, shown


def find_unlabelled(
    paths: Sequence[Path], image_root: Path | None = None, image_column: str = "image", image_suffix: str = ""
) -> ImageFiles:
    """Find images to predict the classes of. None is opened; that the files exist is checked.

    Args:
        paths: images; folders, whose images at any depth are sorted naturally, and in which the same files are left out
            as in a folder of classes; lists: .txt with a path per line, .csv with a column of paths.
        image_root: the folder that paths in lists are relative to; None: the list's own folder.
        image_column: the column of paths in a .csv.
        image_suffix: what the names in lists lack, such as `.jpg`.

    Returns:
        The images in the order of `paths`, each path once; all labels are 0, since none is known.

    Raises:
        InputError: a path does not exist, a folder or list has no image or cannot be read, a listed file is missing or
            is not called like an image, or an option for lists is given without one.
    """
    if image_root is not None and not image_root.is_dir():
        raise InputError(f"the folder {image_root} is not there; name what paths start from with --image-root")
    lists = {suffix(path.name) for path in paths if not path.is_dir()} & {*LIST_SUFFIXES}
    for given, flag in ((image_root is not None, "--image-root"), (bool(image_suffix), "--image-suffix")):
        if given and not lists:
            raise InputError(f"{flag} is for paths in lists, and no list is given; leave it out")
    if image_column != DataLocation.image_column and ".csv" not in lists:
        raise InputError("--image-column is for lists in .csv, and none is given; leave it out")
    found: dict[str, None] = {}
    notes: list[str] = []
    for path in paths:
        if path.is_dir():
            below = walk_images(path, twins="skip")
            images = sorted(below.paths, key=natural_key)
            found |= dict.fromkeys(os.path.join(path, image) for image in images)  # noqa: PTH118  six times as fast
            notes += below.notes
        elif not path.exists():
            raise InputError(f"{named(str(path))} does not exist; name images, folders or lists (.csv, .txt)")
        elif suffix(path.name) in LIST_SUFFIXES:
            found |= dict.fromkeys(_in_list(path, image_root or path.parent, image_column, image_suffix))
        else:
            found[str(path)] = None
    reader = PathImages("", Names.of_texts(found))
    labels = np.zeros(len(found), dtype=np.int64)
    return ImageFiles(reader, np.arange(len(found)), labels, ("unknown",), "the images given", tuple(notes))


def _in_list(path: Path, root: Path, image_column: str, image_suffix: str) -> list[str]:
    """Return the paths of the images in a list, each of which exists."""
    try:
        with open_list(path) as raw, io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as file:
            names = list(_column(file, path, image_column) if suffix(path.name) == ".csv" else _lines(file))
    except (OSError, csv.Error) as error:
        raise InputError(f"the list {path} cannot be read ({first_line(error)}); check that it is text") from error
    if not names:
        raise InputError(f"{path} lists no image; check that it is the right list")
    names = [f"{name}{image_suffix}" for name in names]
    known = image_suffixes()
    other = next((name for name in names if suffix(name) not in known), None)
    if other is not None:
        raise InputError(
            f"{path} names {shown(other)}, which has no suffix of an image; add --image-suffix .jpg or the like, or "
            "check that it is the right list"
        )
    paths = [os.path.join(root, name) for name in names]  # noqa: PTH118  six times as fast as a Path
    missing = [k for k, there in enumerate(paths) if "\0" in there or not os.path.isfile(there)]  # noqa: PTH113
    if missing:
        first = missing[0]
        what_to_do = "the list is not text" if "\0" in paths[first] else where_image_is(root, names[first])
        raise InputError(
            f"{len(missing)} of the {len(names)} images of {path} do not exist, the first is "
            f"{named(paths[first])}; {shortened(what_to_do)}"
        )
    return paths


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    yield from (name for line in file if (name := line.rstrip("\r\n")).strip())


def _column(file: io.TextIOWrapper, path: Path, image_column: str) -> Iterator[str]:
    rows = csv.reader(file, skipinitialspace=True, strict=True)
    header = [name.strip() for name in next(rows, [])]
    if header.count(image_column) != 1:
        found = ", ".join(repr(name[:40]) for name in header[:20]) or "none"
        raise InputError(
            f"{path} must have one column {image_column!r}, its columns are {printable(found)}; name it with "
            "--image-column"
        )
    place = header.index(image_column)
    for cells in rows:
        if cells and (len(cells) != len(header) or not cells[place]):
            raise InputError(f"{path}, line {rows.line_num} has no image, or other cells than the header; correct it")
        if cells:
            yield cells[place]
