"""ImageNet-LT and iNaturalist 2018: benchmarks whose lists are the same everywhere."""

from collections.abc import Sequence
from dataclasses import replace

from ltzoo.data.benchmarks import NaturalBenchmark
from ltzoo.data.files.classes import check_names
from ltzoo.data.files.entries import Listed
from ltzoo.data.files.inat_json import read_inat_json
from ltzoo.data.files.lists import read_list
from ltzoo.data.files.names import shown
from ltzoo.data.files.place import Place
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError

FIXED = {
    "imagenetlt": {split: f"ImageNet_LT_{split}.txt" for split in ("train", "val", "test")},
    # It has no test split with labels: papers report the validation split.
    "inat18": {"train": "iNaturalist18_train.txt", "val": "iNaturalist18_val.txt", "test": "iNaturalist18_val.txt"},
}
"""The lists by benchmark and split."""
_ANNOTATIONS = {"inat18": {"train": "train2018.json", "val": "val2018.json", "test": "val2018.json"}}


def open_fixed(
    benchmark: NaturalBenchmark, split: str, place: Place, class_names: Sequence[str] | None = None
) -> ImageFiles:
    """Open a split of a benchmark whose lists are fixed: from iNaturalist's own annotations, if its list is not there.

    Args:
        benchmark: one of `FIXED`.
        split: `train`, `val` or `test`.
        place: its `data_dir` holds a folder of the benchmark's name with the lists in it.
        class_names: what the training split's classes are called; None where that is to be found out.

    Raises:
        InputError: the list is missing, or contradicts the benchmark, the training split or itself.
    """
    folder = place.data_dir / benchmark.name
    num_classes = benchmark.num_classes or 0
    if class_names is not None and len(class_names) != num_classes:
        raise InputError(f"{benchmark.name} has {num_classes} classes, not {len(class_names)}; use a model that fits")
    path = folder / FIXED[benchmark.name][split]
    root = place.image_root or folder
    annotations = [folder / splits[split] for name, splits in _ANNOTATIONS.items() if name == benchmark.name]
    if not path.exists():
        for file in annotations:
            if file.exists():
                files = read_inat_json(file, num_classes, root)
                return files if class_names is None else replace(files, class_names=tuple(class_names))
        missing = " nor ".join(str(file) for file in [path, *annotations])
        raise InputError(f"there is no {missing}; put it there, or name the folder above it with --data-dir")
    listed = read_list(path)
    numbers = listed.numbers(num_classes)
    if class_names is None:
        class_names = _folder_names(listed, numbers, num_classes) or [str(j) for j in range(num_classes)]
        check_names(class_names, str(path))
    else:
        _check_folders(listed, numbers, class_names)
    return listed.files(root, numbers, tuple(class_names))


def _folder_names(listed: Listed, numbers: list[int], num_classes: int) -> list[str] | None:
    """Call classes by their folders (train/n01440764/x.JPEG), if each has one that is its own."""
    folders: dict[int, bytes] = {}
    for code, folder in zip(listed.codes.tolist(), listed.names.folders(), strict=True):
        if not folder or folders.setdefault(numbers[code], folder) != folder:
            return None
    if len(set(folders.values())) < num_classes:
        return None
    return [folders[j].decode("utf-8", "surrogateescape") for j in range(num_classes)]


def _check_folders(listed: Listed, numbers: list[int], class_names: Sequence[str]) -> None:
    """See that no image lies in the folder of another class: lists of two makers may number the classes in two ways.

    Where classes are called by their numbers, a folder that is a number may mean another thing.
    """
    number = {name.encode("utf-8", "surrogateescape"): j for j, name in enumerate(class_names)}
    if [*number] == [str(j).encode() for j in range(len(class_names))]:
        return
    for k, (code, folder) in enumerate(zip(listed.codes.tolist(), listed.names.folders(), strict=True)):
        if number.get(folder, numbers[code]) != numbers[code]:
            raise InputError(
                f"{listed.origin} calls {shown(listed.names[k])} class {numbers[code]}, but to the training list that "
                f"folder is class {number[folder]}; use lists that belong together"
            )
