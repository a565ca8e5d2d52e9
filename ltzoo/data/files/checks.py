"""Checks of splits: the files are there, every class has images, no file is in both splits, images can be decoded."""

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ltzoo.data.files.advice import where_image_is, where_splits_are
from ltzoo.data.files.identity import shared_files
from ltzoo.data.files.image_files import ImageFiles, PathImages, reason
from ltzoo.data.files.splits import unread_lists
from ltzoo.errors import InputError, first_few, named

_Found = TypeVar("_Found")

Tick = Callable[[], object]
"""Called after each image; the `update` of a progress bar fits."""


def check_present(files: ImageFiles) -> None:
    """Check that the files exist; images in archives and Hub data sets were checked when these were opened.

    Every folder is listed once, since checking each file takes minutes on a network disk.

    Raises:
        InputError: some are missing; the first is named.
    """
    reader = files.reader
    if not isinstance(reader, PathImages):
        return
    listed: defaultdict[str, set[str]] = defaultdict(set)
    missing = []
    for position in files.positions.tolist():
        folder, _, name = reader.path(position).rpartition("/")
        if folder not in listed:
            listed[folder] = _files_in(folder)
        # Checked separately: some file systems list a name in another Unicode form, but still open it by this one.
        if name not in listed[folder] and not os.path.isfile(reader.path(position)):  # noqa: PTH113  as above
            missing.append(position)
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(files)} images of {files.origin} do not exist, the first is "
            f"{named(reader.path(missing[0]))}; {where_image_is(Path(reader.root), reader.name(missing[0]))}"
        )


def _files_in(folder: str) -> set[str]:
    """List the files in a folder; none where it cannot be listed, so that its files are checked one by one."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_symlink() and entry.is_file()}
    except OSError:
        return set()


def check_coverage(train: ImageFiles | None, test: ImageFiles | None = None) -> None:
    """Check that there are several classes, that each has images in each split, and that no file is in both.

    That the test split has no other class is checked when it is opened; copies of an image in other files are found by
    `profile_files`, which reads them.

    Args:
        train: the training split; None where a trained model is evaluated.
        test: the split to measure on, its labels numbered as in training; None where there is none.

    Raises:
        InputError: there is one class only, a split has no image of some class, the classes of the splits differ, or
            both have the same file; up to five classes are named.
    """
    if train is not None and test is not None and test.class_names != train.class_names:
        raise InputError(f"the classes of {test.origin} are not those of {train.origin}; open it with their names")
    if train is not None:
        _check_several(train)
        check_each_class(train, "training")
    if test is not None:
        check_each_class(test, "test")
    if train is not None and test is not None:
        _check_apart(train, test)


def check_each_class(files: ImageFiles, use: str) -> None:
    """Check that every class has an image in a split.

    Args:
        files: the split.
        use: `training` or `test`, for the message.

    Raises:
        InputError: some have none; up to five are named.
    """
    empty = [name for name, count in zip(files.class_names, files.class_counts, strict=True) if not count]
    if empty:
        raise InputError(
            f"{len(empty)} of {len(files.class_names)} classes have no {use} image in {files.origin}: "
            f"{first_few([repr(name) for name in empty])}; add some, or leave the class out of both splits"
        )


def _check_several(train: ImageFiles) -> None:
    if len(train.class_names) != 1:
        return
    lists = [named(str(path)) for path in unread_lists(train)]
    advice = where_splits_are(Path(train.origin)) or "add images of another class, or name another data folder"
    if lists:
        there, which = ("is", "it") if len(lists) == 1 else ("are", "one of them")
        advice = f"{first_few(lists)} {there} there: name {which} instead of the folder"
    raise InputError(
        f"{train.origin} has only the class {train.class_names[0]!r}, but training needs at least two; {advice}"
    )


def _check_apart(train: ImageFiles, test: ImageFiles) -> None:
    twice = shared_files(train, test)
    if twice:
        one, two = (named(files.name(index)) for files, index in zip((train, test), twice[0], strict=True))
        if test.reader is train.reader and test.origin == train.origin:  # one was held out of the other
            raise InputError(
                f"{len(twice)} of the {len(test)} images held out of {test.origin} would be trained on too: {one} and "
                f"{two} are one file; remove the second link or entry, so that each image is there once"
            )
        same = one if one == two else f"{one}, which is {two} there"
        raise InputError(
            f"{len(twice)} of the {len(test)} images of {test.origin} are also in {train.origin}, the first is "
            f"{same}; keep each in one of the two"
        )


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read or is damaged.

    Attributes:
        index: its index in the split.
        name: its name.
        reason: why, in a few words.
    """

    index: int
    name: str
    reason: str


def find_unreadable(files: ImageFiles, threads: int | None = None, progress: Tick | None = None) -> list[Unreadable]:
    """Decode every image of a split once.

    Args:
        files: the split.
        threads: images decoded at the same time; None: a few more than there are cores, since reading waits for disks.
        progress: called after each image.

    Returns:
        The images that cannot be read, in the order of the split.
    """

    def look(index: int) -> str | None:
        try:
            files.image(index)
        except InputError as error:
            return reason(error)
        return None

    reasons = each_image(files, look, threads, progress)
    return [Unreadable(index, files.name(index), why) for index, why in enumerate(reasons) if why is not None]


def without_unreadable(
    files: ImageFiles,
    at_most: int,
    say: Callable[[str], object],
    threads: int | None = None,
    progress: Tick | None = None,
) -> ImageFiles:
    """Leave out the images that cannot be read. A class may lose all of its images.

    Args:
        files: the split.
        at_most: how many may be left out.
        say: called with one line for each image that is left out.
        threads: see `find_unreadable`.
        progress: see `find_unreadable`.

    Raises:
        InputError: more images cannot be read; the first are named.
    """
    found = find_unreadable(files, threads, progress)
    if len(found) > at_most:
        first = ", ".join(f"{named(image.name)} ({image.reason})" for image in found[:3])
        raise InputError(
            f"{len(found)} of {len(files)} images of {files.origin} cannot be read: {first}"
            f"{', ...' if len(found) > 3 else ''}; repair or remove them, or raise --skip-unreadable by "
            f"{len(found) - at_most}"
        )
    for image in found:
        say(f"left out, since it cannot be read: {named(image.name)} of {files.origin} ({image.reason})")
    return files.chosen(np.delete(np.arange(len(files)), [image.index for image in found])) if found else files


def each_image(
    files: ImageFiles, look: Callable[[int], _Found], threads: int | None = None, progress: Tick | None = None
) -> Iterator[_Found]:
    """Call a function with the index of each image, in several threads: Pillow releases Python's lock while it decodes.

    Args:
        files: the split.
        look: the function.
        threads: see `find_unreadable`.
        progress: see `find_unreadable`.

    Yields:
        What the function returned, in the order of the split.
    """
    threads = threads or min(32, (os.cpu_count() or 1) + 4)
    waiting: deque[Future[_Found]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for index in range(len(files)):
                waiting.append(pool.submit(look, index))
                # The queue is bounded, but long enough that one slow image does not stop the others.
                if len(waiting) > 8 * threads:
                    yield _next(waiting, progress)
            while waiting:
                yield _next(waiting, progress)
        finally:
            for future in waiting:
                future.cancel()


def _next(waiting: deque[Future[_Found]], progress: Tick | None) -> _Found:
    found = waiting.popleft().result()
    if progress is not None:
        progress()
    return found
