"""Images in a data set of the Hugging Face Hub, or in a copy of one, read by the package `datasets`."""

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from huggingface_hub import HfApi, constants, try_to_load_from_cache

from ltzoo.data.files.classes import check_names, label_classes
from ltzoo.data.files.image_files import LARGEST_FILE, DataLocation, ImageFiles, Names, stamp_of
from ltzoo.errors import InputError, first_few, first_line, named, shortened
from ltzoo.hub_errors import is_broken, reason
from ltzoo.reading.content import read_content, stays_within

if TYPE_CHECKING:
    from datasets import Dataset

_PREFIX = "hfds"
_TEXTS = ("string", "large_string")
_DAMAGED = (ValueError, SystemError, pa.ArrowException)
"""What damaged rows raise: arrow hardly checks the files that it maps into memory."""
_SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}


@dataclass(frozen=True)
class HubImages:
    """Reads rows of a data set as they are stored; only the names of its files are pickled to a worker.

    Attributes:
        rows: the data set, of one column, not decoded.
        column: that column.
        split: the name of the split on the Hub.
        names: (N,) the original file name of each image, empty where it is unknown.
        folders: where files that a row names may lie: the copy of the data set, or the caches, with all links followed.
    """

    rows: "Dataset"
    column: str
    split: str
    names: Names
    folders: tuple[Path, ...]

    def read(self, position: int) -> bytes:
        """Read an image, see `Reader`."""
        try:
            image = self.rows[position][self.column]
            if image is None or not (image["bytes"] or image["path"]):
                raise OSError("the row has no image")
            return image["bytes"] or self._file(Path(image["path"]))
        except _DAMAGED as error:
            raise OSError(first_line(error)) from error

    def _file(self, path: Path) -> bytes:
        """Read an image that a row names by its path; a row may not name any other file of this machine."""
        if not stays_within(path, self.folders):
            raise OSError(errno.EACCES, "it lies outside the data set")
        return read_content(path, LARGEST_FILE)

    def name(self, position: int) -> str:
        """Name an image by its row, and by its file where that is known, see `Reader`."""
        return f"{self.split}/{position}" + (f"/{self.names[position]}" if self.names[position] else "")

    def stamp(self, positions: np.ndarray) -> bytes:
        """Return size and modification time of the files that hold all rows, see `Reader`."""
        return stamp_of(file["filename"] for file in self.rows.cache_files)


def is_hub(path: Path) -> bool:
    """Return whether a path means a data set of the Hub: it has timm's prefix, and is no existing folder."""
    return path.parts[:1] == (_PREFIX,) and len(path.parts) > 1 and not path.exists()


def splits_of_hub(location: DataLocation) -> dict[str, Callable[[], ImageFiles]]:
    """Load a data set, and find its splits.

    timm's own reader is not used: it returns text labels as texts and hidden labels as -1 (see its test), and downloads
    without being asked.

    Args:
        location: `data_dir` is `hfds/USER/NAME`, optionally with `@REVISION`; or `hfds//path/to/a/copy`, which a `Path`
            writes with one slash: an existing folder takes precedence over a name on the Hub.

    Raises:
        InputError: `datasets` is not installed, or the data set is missing, unreadable or without a known split.
    """
    loaded = _load(location)
    splits: dict[str, Callable[[], ImageFiles]] = {}
    for written, rows in loaded.items():
        split = _SPLITS.get(written)
        if split in splits:
            raise InputError(f"{location.data_dir} has both splits validation and val; use a copy with one of them")
        if split:
            splits[split] = partial(_files, rows, written, location)
    if not splits:
        raise InputError(
            f"{location.data_dir} has the splits {first_few([*loaded])}, not train, validation, val or test"
        )
    return splits


def _load(location: DataLocation) -> "dict[str, Dataset]":
    """Load all splits of a data set."""
    datasets = _package(location)
    written = Path(*location.data_dir.parts[1:])
    copy = _copy(location)
    try:
        if copy is None:
            loaded = _from_hub(*written.as_posix().partition("@")[::2], location.download)
        elif any((copy / file).is_file() for file in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(copy))
        else:
            loaded = datasets.load_dataset(str(copy))
    except Exception as error:  # of the Hub's client (see hub_errors), of arrow, or of files that are no data set
        generating = isinstance(error, datasets.exceptions.DatasetGenerationError)
        said = reason(error.__cause__ if generating and error.__cause__ else error)
        raise InputError(f"{location.data_dir} cannot be loaded ({said}); {_mend(location, copy, error)}") from error
    found = dict(loaded) if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    files = [Path(file["filename"]) for rows in found.values() for file in rows.cache_files]
    folders = _folders(location)
    outside = next((file for file in files if not stays_within(file, folders)), None)
    if outside is not None:
        raise InputError(f"{location.data_dir} names {named(str(outside))}, outside its folder; do not use this copy")
    return found


def _package(location: DataLocation) -> ModuleType:
    """Import the package `datasets`.

    Raises:
        InputError: it is not installed, or a folder or file of that name takes its place, as one where the command is
            started does.
    """
    install = "install it with pip install datasets"
    try:
        import datasets
    except ImportError as error:
        if error.name not in ("datasets", None):
            raise InputError(
                f"{location.data_dir} needs the package datasets, which cannot be imported ({error}); install it again"
            ) from error
        raise InputError(f"{location.data_dir} needs the package datasets; {install}") from error
    if hasattr(datasets, "load_dataset"):
        return datasets
    if getattr(datasets, "__file__", None) is None:  # a folder without code, which an installed package would go before
        raise InputError(f"{location.data_dir} needs the package datasets; {install}")
    raise InputError(
        f"{location.data_dir} needs the package datasets, but Python takes {datasets.__file__} for it; rename that, or "
        "start the command in another folder"
    )


def _mend(location: DataLocation, copy: Path | None, error: Exception) -> str:
    if copy:
        return "check that it is a data set"
    if is_broken(error):
        return "check the network, or leave --download out if the data set was fetched before"
    return "check its name" + ("" if location.download else ", and add --download to fetch it")


def _from_hub(name: str, revision: str, download: bool) -> "dict[str, Dataset]":
    """Load a data set from the Hub or from the cache.

    Without the Hub, `datasets` takes whatever it downloaded last, so the commit is checked.
    """
    import datasets

    commit = None
    if download:
        commit = HfApi().dataset_info(name, revision=revision or None).sha
    elif revision:
        commit = _commit_before(name, revision)
    offline = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = offline or not download
    try:
        loaded = datasets.load_dataset(name, revision=revision or None)
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    found = {Path(file["filename"]).parent.name for rows in loaded.values() for file in rows.cache_files}
    if commit and found - {commit}:
        raise OSError(f"what was fetched before is commit {min(found - {commit})}, not {commit}")
    return loaded


def _commit_before(name: str, revision: str) -> str:
    """Return the commit of a branch or tag when the data set was downloaded."""
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    card = try_to_load_from_cache(name, "README.md", revision=revision, repo_type="dataset")
    if not isinstance(card, str):
        raise OSError(f"revision {revision} was not fetched before")
    return Path(card).parent.name


def _files(rows: "Dataset", written: str, location: DataLocation) -> ImageFiles:
    """Make the split from the rows of one."""
    import datasets

    origin = f"{location.data_dir}, split {written}"
    for column, option in ((location.image_column, "--image-column"), (location.label_column, "--label-column")):
        if column not in rows.column_names:
            raise InputError(
                f"{origin} has no column {column!r}, its columns are {', '.join(map(repr, rows.column_names))}; "
                f"name one with {option}"
            )
    if not len(rows):
        raise InputError(f"{origin} has no image; check that it is the right data set")
    labels, class_names = _labels(rows.select_columns([location.label_column]), location.label_column, origin)
    feature = rows.features[location.image_column]
    try:
        if (
            getattr(feature, "dtype", "") in _TEXTS
        ):  # `datasets` takes texts for paths relative to the working directory
            raise TypeError("text")
        images = rows.select_columns([location.image_column]).cast_column(
            location.image_column, datasets.Image(decode=False)
        )
        paths = images.flatten().select_columns([f"{location.image_column}.path"])
    except (TypeError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(
            f"the column {location.image_column!r} of {origin} has no images but "
            f"{shortened(str(feature))}; name another with --image-column"
        ) from error
    called = _values(paths, f"{location.image_column}.path", origin)
    names = Names.of_texts(os.path.basename(path or "") for path in called)  # noqa: PTH119  ten times as fast as a Path
    return ImageFiles(
        HubImages(images, location.image_column, written, names, _folders(location)),
        np.arange(len(rows)),
        labels,
        class_names,
        origin,
    )


def _folders(location: DataLocation) -> tuple[Path, ...]:
    """List the folders that the files of a data set may lie in, with all links followed."""
    import datasets

    copy = _copy(location)
    caches = (datasets.config.HF_DATASETS_CACHE, constants.HF_HUB_CACHE)
    return tuple(folder.resolve() for folder in (*(Path(cache) for cache in caches), *([copy] if copy else [])))


def _copy(location: DataLocation) -> Path | None:
    """Return the folder of a copy; None for a data set of the Hub."""
    written = Path(*location.data_dir.parts[1:])
    return next((folder for folder in (Path("/") / written, written.absolute()) if folder.is_dir()), None)


def _labels(rows: "Dataset", column: str, origin: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the labels: class numbers if the data set names the classes, else whole numbers or texts as in lists."""
    feature = rows.features[column]
    named: list[str] | None = getattr(feature, "names", None)
    kind = getattr(feature, "dtype", "")
    if not (named or str(kind).startswith(("int", "uint", "bool")) or kind in _TEXTS):
        raise InputError(
            f"the column {column!r} of {origin} has no labels but {shortened(str(feature))}; "
            "name another with --label-column"
        )
    values = _values(rows, column, origin)
    for row, value in enumerate(values):
        if value is None or (named and not 0 <= value < len(named)):
            raise InputError(f"{origin} has no label in row {row}, but {value}; use a split with labels")
    if not named:
        return label_classes([str(value).strip() for value in values], origin)
    check_names(named, origin)  # names that differ only in case are intended: the data set numbers them
    return np.array(values, dtype=np.int64), tuple(named)


def _values(rows: "Dataset", column: str, origin: str) -> list[Any]:
    """Read a whole column."""
    try:
        return list(rows[:][column])
    except (OSError, *_DAMAGED) as error:
        raise InputError(
            f"the column {column!r} of {origin} cannot be read ({first_line(error)}); download or write it again"
        ) from error
