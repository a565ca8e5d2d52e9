"""iNaturalist's own annotation files (train2018.json): images, annotations and categories that refer to each other."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ltzoo.data.files.classes import check_names
from ltzoo.data.files.names import Names, shown
from ltzoo.data.files.paths import PathImages
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError, first_line

_USED = ("images", "annotations", "categories", "id", "file_name", "image_id", "category_id", "name")


def _used(fields: dict[str, Any]) -> dict[str, Any]:
    """Drop the licences, authors and sizes, two thirds of the memory."""
    return {key: fields[key] for key in _USED if key in fields}


def read_inat_json(path: Path, num_classes: int, root: Path) -> ImageFiles:
    """Read an annotation file. A category's id is its class.

    Args:
        path: the file.
        num_classes: C.
        root: what the paths in it are relative to.

    Returns:
        Its images in their order. Classes are called what the categories are, where those names are there and differ,
        else by their numbers.

    Raises:
        InputError: it cannot be read, contradicts itself, or has categories other than 0 to C - 1.
    """
    try:
        with path.open("rb") as file:
            document = json.load(file, object_hook=_used)
        listed = [(image["id"], image["file_name"]) for image in document["images"]]
        annotated = [(entry["image_id"], entry["category_id"]) for entry in document["annotations"]]
        categories = {category["id"]: category["name"] for category in document.get("categories", [])}
        del document
        fault = _fault(listed, annotated, num_classes)
        names = Names.of_texts(name for _, name in listed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as iNaturalist's annotations ({first_line(error)[:80]}); fetch it again"
        ) from error
    if fault:
        raise InputError(f"{path} is no whole file of annotations: {fault}; fetch it again")
    category = dict(annotated)
    labels = np.fromiter((category[image] for image, _ in listed), np.int64, len(listed))
    called = [str(categories.get(j, "")).strip() for j in range(num_classes)]
    class_names = called if len(set(called) - {""}) == num_classes else [str(j) for j in range(num_classes)]
    check_names(class_names, str(path))
    return ImageFiles(PathImages(str(root), names), np.arange(len(listed)), labels, tuple(class_names), str(path))


def _fault(listed: list[tuple[Any, Any]], annotated: list[tuple[Any, Any]], num_classes: int) -> str | None:
    """Say what contradicts what, if anything does."""
    if not listed:
        return "it names no image"
    for entries, what in (
        ([image for image, _ in listed], "has two images of the id"),
        ([name for _, name in listed], "has two images of the name"),
        ([image for image, _ in annotated], "has two annotations of image"),
    ):
        if len(set(entries)) < len(entries):
            return f"it {what} {shown(str(Counter(entries).most_common(1)[0][0]))}"
    apart = {image for image, _ in listed} ^ {image for image, _ in annotated}
    if apart:
        return f"image {shown(str(min(apart, key=str)))} has no annotation, or the annotation no image"
    for image, category in annotated:
        if type(category) is not int or not 0 <= category < num_classes:
            return f"image {image} is of category {category!r}, which is none of 0 to {num_classes - 1}"
    nul = next((name for _, name in listed if "\0" in name), None)
    return None if nul is None else f"{nul!r} is no name"
