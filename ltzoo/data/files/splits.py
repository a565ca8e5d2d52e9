"""The splits of a data set in files: found in whatever form it comes, and opened."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ltzoo.data.benchmarks import NaturalBenchmark
from ltzoo.data.files.advice import where_classes_are
from ltzoo.data.files.archives import read_shards, read_tar
from ltzoo.data.files.classes import aligned
from ltzoo.data.files.folders import read_folder
from ltzoo.data.files.hub_dataset import is_hub, splits_of_hub
from ltzoo.data.files.image_files import DataLocation, ImageFiles
from ltzoo.data.files.left_out import LeftOut
from ltzoo.data.files.lists import read_list, read_table
from ltzoo.data.files.split_names import LIST_SUFFIXES, MISSPELT, SPELLINGS, SPLIT_NAMES
from ltzoo.data.files.standard_lists import STANDARD_LISTS, open_standard
from ltzoo.errors import InputError, first_few, named

Splits = dict[str, Callable[[], ImageFiles]]
"""From the name of each split that exists (`train`, `val`, `test`) to the function that opens it."""

_INSTEAD = {"val": "test", "test": "val"}


def open_files(
    benchmark: NaturalBenchmark,
    split: Literal["train", "val", "test"],
    location: DataLocation,
    class_names: Sequence[str] | None = None,
) -> ImageFiles | None:
    """Find the images of a split and their classes. No image is opened or checked to exist (see `check_present`).

    If a custom data set has only one of `val` and `test`, it is used for both.

    Args:
        benchmark: the benchmark.
        split: the split.
        location: where the images are.
        class_names: those of the training split, which labels refer to; None for the training split itself.

    Returns:
        The split; None where a custom data set has neither `val` nor `test`.

    Raises:
        InputError: nothing is found, or it cannot be used or contradicts itself, the benchmark or the training split.
    """
    if location.image_root is not None and not location.image_root.is_dir():
        raise InputError(f"the folder {location.image_root} is not there; name what paths start from with --image-root")
    if benchmark.name in STANDARD_LISTS:
        for given, flag in (
            (location.class_folder != "first", "--class-folder"),
            (location.image_suffix, "--image-suffix"),
            *_columns_given(location),
        ):
            if given:
                raise InputError(f"{flag} is for images of your own, not for {benchmark.name}; leave it out")
        return open_standard(benchmark, split, location, class_names)
    if is_hub(location.data_dir):
        check_options(location, location.data_dir, "a Hub data set")
        splits = splits_of_hub(location)
    elif location.data_dir.is_dir():
        splits = splits_of_folder(location)
    elif location.data_dir.exists():
        splits = splits_of_file(location)
    else:
        raise InputError(
            f"{location.data_dir} does not exist; name the folder or list of your images (--data-dir of ltzoo train)"
        )
    chosen = split if split in splits else _INSTEAD.get(split)
    if chosen not in splits:
        if split == "train":
            raise InputError(f"{location.data_dir} has no split train, only {' and '.join(splits)}; name one that has")
        return None
    files = splits[chosen]()
    if location.data_dir.is_dir() and files.origin != str(location.data_dir):
        files = replace(files, notes=(*files.notes, *_note_beside(location.data_dir, splits)))
    if class_names is None:
        return files
    try:
        return aligned(files, class_names)
    except InputError as error:
        nested = any("--class-folder" in note for note in files.notes)
        other = "innermost" if location.class_folder == "first" else "first"
        raise InputError(f"{error}{f'; or try --class-folder {other}' if nested else ''}") from None


def splits_of_file(location: DataLocation) -> Splits:
    """Find the splits in a single list: a text file is the training split, a table may have a column of splits.

    Raises:
        InputError: the file is not a list, or a table that cannot be used.
    """
    path = location.data_dir
    if path.suffix.lower() not in LIST_SUFFIXES:
        raise InputError(f"{path} is neither a folder nor a list (.csv, .txt); name one of these")
    if path.suffix.lower() == ".txt":
        _check_no_columns(location, path)
        return {"train": partial(_list, path, location)}
    files, given = _table(path, location)
    if given is None:
        return {"train": lambda: files}
    splits: Splits = {}
    for split, spellings in SPELLINGS.items():
        written = [spelling for spelling in spellings if spelling in given]
        if len(written) > 1:
            raise InputError(f"{path} writes the split {split} in two ways, {' and '.join(written)}; write it in one")
        if written:
            splits[split] = partial(_part, files, np.flatnonzero(given == written[0]), f"{path}, split {split}")
    wrong = np.flatnonzero(~np.isin(given, SPLIT_NAMES))
    if len(wrong):
        raise InputError(
            f"{path} puts {named(files.name(wrong[0]))} into the split {str(given[wrong[0]])!r}; "
            f"splits are called {', '.join(SPLIT_NAMES)}"
        )
    return splits


def splits_of_folder(location: DataLocation) -> Splits:
    """Find the splits in a folder: lists take precedence over folders and tar files of the same split.

    Raises:
        InputError: the folder cannot be listed, or has no split, a misspelt one, or one in two forms.
    """
    folder = location.data_dir
    try:
        with os.scandir(folder) as entries:
            below = {entry.name: entry.is_dir() for entry in entries}
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); name another data folder") from error
    _check_spelling(folder, below)
    splits: Splits = {}
    for split in SPELLINGS:
        lists, others = _forms(below, split, location)
        found = lists or others
        if len(found) > 1:
            raise InputError(
                f"{folder} holds {' and '.join(sorted(found))}, which are the same split; remove one of them"
            )
        if found:
            splits[split] = next(iter(found.values()))
        if others and not lists:
            form = next(iter(others))
            check_options(location, folder / form, "shards" if "*" in form else "folders")
    if splits:
        if not any(Path(name).suffix.lower() == ".csv" and Path(name).stem in SPLIT_NAMES for name in below):
            _check_no_columns(location, folder)
        return splits
    if not any(below.values()):
        raise InputError(
            f"{folder} holds neither train/, train.csv, train.txt, train.tar or train-*.tar nor class folders; "
            f"{where_classes_are(folder)}"
        )
    check_options(location, folder, "folders")
    _check_no_columns(location, folder)
    return {"train": partial(read_folder, folder, location.class_folder)}


def _note_beside(folder: Path, splits: Splits) -> list[str]:
    """Say which folders, lists and tar files lie beside the splits and are not read."""
    left_out = LeftOut()
    beside = []
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            split = path.stem.partition("-")[0] if path.suffix.lower() == ".tar" else path.stem
            is_folder = path.is_dir()
            if is_folder and not left_out.is_walked(path.name):
                continue
            if (is_folder or path.suffix.lower() in (*LIST_SUFFIXES, ".tar")) and split not in SPLIT_NAMES:
                beside.append(f"{path.name}/" if is_folder else path.name)
    return [f"{named(str(folder))}: not read: no split has such a name: {first_few(beside)}"] if beside else []


def unread_lists(files: ImageFiles) -> list[Path]:
    """Find lists beside class folders that belong to no split: they may have labels that the folders lack."""
    root = Path(files.origin)
    found: list[Path] = []
    for folder in (root, *([root.parent] if root.name in SPLIT_NAMES else [])):
        with suppress(OSError):  # the split is a list or a tar file itself
            found += sorted(path for path in folder.iterdir() if path.suffix.lower() in LIST_SUFFIXES)
    return [path for path in found if path.stem not in SPLIT_NAMES]


def _check_spelling(folder: Path, below: dict[str, bool]) -> None:
    """Check that no split has a misspelt name; beside class folders it would be taken for a class."""
    for name, is_folder in below.items():
        stem = name if is_folder or Path(name).suffix.lower() not in (*LIST_SUFFIXES, ".tar") else Path(name).stem
        if stem.lower() in MISSPELT and stem not in SPLIT_NAMES:
            raise InputError(f"{folder} holds {name}, but splits are called {', '.join(SPLIT_NAMES)}; rename it")


def _forms(below: dict[str, bool], split: str, location: DataLocation) -> tuple[Splits, Splits]:
    """Find the lists of a split, and its other forms, each by its name."""
    lists: Splits = {}
    others: Splits = {}
    shards: dict[str, list[Path]] = {}
    for name, is_folder in below.items():
        path = location.data_dir / name
        kind = "folder" if is_folder else path.suffix.lower()
        spelling, dash, _ = path.stem.partition("-")
        if name in SPELLINGS[split] and is_folder:
            others[f"{name}/"] = partial(read_folder, path, location.class_folder)
        elif path.stem in SPELLINGS[split] and kind in LIST_SUFFIXES:
            lists[name] = partial(_list_of_split, path, location, split)
        elif path.stem in SPELLINGS[split] and kind == ".tar":
            others[name] = partial(read_tar, path, location.class_folder)
        elif spelling in SPELLINGS[split] and dash and kind == ".tar":
            shards.setdefault(f"{spelling}-*.tar", []).append(path)
    return lists, others | {name: partial(read_shards, paths) for name, paths in shards.items()}


def check_options(
    location: DataLocation, path: Path, kind: Literal["lists", "folders", "shards", "a Hub data set"]
) -> None:
    """Check that no option is given that has no effect on images of this kind.

    Args:
        location: has the options.
        path: where the images are.
        kind: what was found there; `folders` are class folders, also in a tar file.

    Raises:
        InputError: there is such an option.
    """
    if kind != "lists":
        for given, flag, use in (
            (location.image_root is not None, "--image-root", "paths"),
            (location.image_suffix, "--image-suffix", "names"),
        ):
            if given:
                raise InputError(f"{path} is not a list, and {flag} is for {use} in lists; leave it out")
    if kind != "folders" and location.class_folder != "first":
        raise InputError(f"{path} has no class folders, and --class-folder is for those; leave it out")


def _check_no_columns(location: DataLocation, path: Path) -> None:
    """Check that no column of a table is named where no table is read."""
    for given, flag in _columns_given(location):
        if given:
            raise InputError(
                f"{path} has no table of a split (train.csv and the like), and {flag} names a column of one; leave it "
                "out, or name a table instead of the folder"
            )


def _columns_given(location: DataLocation) -> list[tuple[bool, str]]:
    return [
        (location.image_column != DataLocation.image_column, "--image-column"),
        (location.label_column != DataLocation.label_column, "--label-column"),
    ]


def _list(path: Path, location: DataLocation) -> ImageFiles:
    check_options(location, path, "lists")
    return read_list(path, location.image_suffix).labelled(location.image_root or path.parent)


def _table(path: Path, location: DataLocation) -> tuple[ImageFiles, np.ndarray | None]:
    check_options(location, path, "lists")
    listed, given = read_table(path, location.image_column, location.label_column, location.image_suffix)
    return listed.labelled(location.image_root or path.parent), given


def _list_of_split(path: Path, location: DataLocation, split: str) -> ImageFiles:
    """Read a list whose name is that of a split; a column of splits must agree."""
    if path.suffix.lower() == ".txt":
        return _list(path, location)
    files, given = _table(path, location)
    wrong = [] if given is None else np.flatnonzero(~np.isin(given, SPELLINGS[split])).tolist()
    if given is not None and wrong:
        raise InputError(
            f"{path} puts {named(files.name(wrong[0]))} into the split {str(given[wrong[0]])!r}; "
            f"correct it, or name this one file instead of the folder"
        )
    return files


def _part(files: ImageFiles, indices: np.ndarray, origin: str) -> ImageFiles:
    """Keep one split of a table, with the classes that it has."""
    part = replace(files.chosen(indices), origin=origin)
    return aligned(part, [files.class_names[j] for j in np.unique(part.labels)])
