"""ImageNet-LT and iNaturalist 2018: benchmarks whose lists are standard, and iNaturalist's own annotation files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ltzoo.data.benchmarks import NaturalBenchmark
from ltzoo.data.files.classes import check_names
from ltzoo.data.files.image_files import DataLocation, ImageFiles, Names, PathImages
from ltzoo.data.files.lists import Listed, read_list
from ltzoo.errors import InputError, first_line, named
from ltzoo.reading.json_text import read_json

STANDARD_LISTS = {
    "imagenetlt": {split: f"ImageNet_LT_{split}.txt" for split in ("train", "val", "test")},
    # Its test split has no labels: papers report the validation split.
    "inat18": {"train": "iNaturalist18_train.txt", "val": "iNaturalist18_val.txt", "test": "iNaturalist18_val.txt"},
}
"""File names of the lists, by benchmark and split."""
_ANNOTATIONS = {"inat18": {"train": "train2018.json", "val": "val2018.json", "test": "val2018.json"}}
_USED = ("images", "annotations", "categories", "id", "file_name", "image_id", "category_id", "name")
"""The keys that are kept: licences, authors and sizes take two thirds of the memory."""

_MEGABYTES = 512
"""The largest size of an annotation file; iNaturalist 2018's has 130 MB."""


def open_standard(
    benchmark: NaturalBenchmark, split: str, location: DataLocation, class_names: Sequence[str] | None = None
) -> ImageFiles:
    """Open a split of a benchmark with standard lists; for iNaturalist 2018 its own annotations serve in their place.

    Args:
        benchmark: one of `STANDARD_LISTS`.
        split: `train`, `val` or `test`.
        location: `data_dir` has a folder of the benchmark's name with the lists in it.
        class_names: the class names of the training split; None to derive them from this one.

    Raises:
        InputError: the list is missing, or contradicts the benchmark, the training split or itself.
    """
    folder = location.data_dir / benchmark.name
    num_classes = benchmark.num_classes or 0
    if class_names is not None and len(class_names) != num_classes:
        raise InputError(f"{benchmark.name} has {num_classes} classes, not {len(class_names)}; use a model that fits")
    path = folder / STANDARD_LISTS[benchmark.name][split]
    root = location.image_root or folder
    annotations = [folder / splits[split] for name, splits in _ANNOTATIONS.items() if name == benchmark.name]
    if not path.exists():
        for file in annotations:
            if file.exists():
                files = read_inat_json(file, num_classes, root)
                return files if class_names is None else replace(files, class_names=tuple(class_names))
        missing = " nor ".join(str(file) for file in [path, *annotations])
        raise InputError(f"there is no {missing}; put it there, or name the folder above it as the data folder")
    listed = read_list(path)
    numbers = listed.numbers(num_classes)
    if class_names is None:
        class_names = _folder_names(listed, numbers, num_classes) or [str(j) for j in range(num_classes)]
        check_names(class_names, str(path))
    else:
        _check_folders(listed, numbers, class_names)
    return listed.files(root, numbers, tuple(class_names))


def _folder_names(listed: Listed, numbers: list[int], num_classes: int) -> list[str] | None:
    """Name the classes after their folders (train/n01440764/x.JPEG); None unless each class has exactly one folder."""
    folders: dict[int, bytes] = {}
    for code, folder in zip(listed.codes.tolist(), listed.names.folders(), strict=True):
        if not folder or folders.setdefault(numbers[code], folder) != folder:
            return None
    if len(set(folders.values())) < num_classes:
        return None
    return [folders[j].decode("utf-8", "surrogateescape") for j in range(num_classes)]


def _check_folders(listed: Listed, numbers: list[int], class_names: Sequence[str]) -> None:
    """Check that no image is in the folder of another class: lists from two sources may number the classes differently.

    Not checked where classes are named by their numbers: a folder whose name is a number may mean something else.
    """
    number = {name.encode("utf-8", "surrogateescape"): j for j, name in enumerate(class_names)}
    if [*number] == [str(j).encode() for j in range(len(class_names))]:
        return
    for k, (code, folder) in enumerate(zip(listed.codes.tolist(), listed.names.folders(), strict=True)):
        if number.get(folder, numbers[code]) != numbers[code]:
            raise InputError(
                f"{listed.origin} calls {named(listed.names[k])} class {numbers[code]}, but to the training list "
                f"that folder is class {number[folder]}; use lists that belong together"
            )


def read_inat_json(path: Path, num_classes: int, root: Path) -> ImageFiles:
    """Read an annotation file of iNaturalist (train2018.json). The id of a category is its class.

    Args:
        path: the file.
        num_classes: C.
        root: the folder that the paths in it are relative to.

    Returns:
        The images in the order of the file. Classes have the names of the categories, if all are present and different;
        otherwise their numbers.

    Raises:
        InputError: it cannot be read, contradicts itself, or has categories other than 0 to C - 1.
    """
    try:
        document = read_json(path, _MEGABYTES, _USED)
        listed = [(image["id"], image["file_name"]) for image in document["images"]]
        annotated = [(entry["image_id"], entry["category_id"]) for entry in document["annotations"]]
        categories = {category["id"]: category["name"] for category in document.get("categories", [])}
        del document
        fault = _fault(listed, annotated, num_classes)
        names = Names.of_texts(name for _, name in listed)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read as iNaturalist's annotations ({first_line(error)}); fetch it again"
        ) from error
    if fault:
        raise InputError(f"{path} is not a complete annotation file: {fault}; fetch it again")
    category = dict(annotated)
    labels = np.fromiter((category[image] for image, _ in listed), np.int64, len(listed))
    called = [str(categories.get(j, "")).strip() for j in range(num_classes)]
    class_names = called if len(set(called) - {""}) == num_classes else [str(j) for j in range(num_classes)]
    check_names(class_names, str(path))
    return ImageFiles(PathImages(str(root), names), np.arange(len(listed)), labels, tuple(class_names), str(path))


def _fault(listed: list[tuple[Any, Any]], annotated: list[tuple[Any, Any]], num_classes: int) -> str | None:
    """Describe the first contradiction in the annotations; None if there is none."""
    if not listed:
        return "it names no image"
    for entries, what in (
        ([image for image, _ in listed], "has two images of the id"),
        ([name for _, name in listed], "has two images of the name"),
        ([image for image, _ in annotated], "has two annotations of image"),
    ):
        if len(set(entries)) < len(entries):
            return f"it {what} {named(str(Counter(entries).most_common(1)[0][0]))}"
    apart = {image for image, _ in listed} ^ {image for image, _ in annotated}
    if apart:
        return f"image {named(str(min(apart, key=str)))} has no annotation, or the annotation no image"
    for image, category in annotated:
        if type(category) is not int or not 0 <= category < num_classes:
            return f"image {image} is of category {category!r}, which is not from 0 to {num_classes - 1}"
    for _, name in listed:
        if "\0" in name or not name:
            return f"{name[:80]!r} is no name"
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
            return f"{name[:80]!r} lies outside its folder"
    return None
