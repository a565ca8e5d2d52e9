"""Every image of a split is opened once, several at a time: which of them cannot be read."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ltzoo.data.files.names import shown
from ltzoo.data.files.source import ImageFiles, reason
from ltzoo.errors import InputError

_Found = TypeVar("_Found")

Tick = Callable[[], object]
"""Is called after each image; a bar's `update` fits."""


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read, or that is no whole image.

    Attributes:
        index: its place in the split.
        name: what it is called.
        reason: why, in words.
    """

    index: int
    name: str
    reason: str


def find_unreadable(files: ImageFiles, threads: int | None = None, progress: Tick | None = None) -> list[Unreadable]:
    """Decode every image of a split once.

    Args:
        files: the split.
        threads: images decoded at once; None: some more than there are cores, since disks are waited for.
        progress: is called after each image.

    Returns:
        What cannot be read, in the split's order.
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
    """Leave the images out that cannot be read. A class may lose all that it has.

    Args:
        files: the split.
        at_most: how many may be left out.
        say: is told each that is, in a line.
        threads: see `find_unreadable`.
        progress: see `find_unreadable`.

    Raises:
        InputError: more than that cannot be read; the first are named.
    """
    found = find_unreadable(files, threads, progress)
    if len(found) > at_most:
        first = ", ".join(f"{shown(image.name)} ({image.reason})" for image in found[:3])
        raise InputError(
            f"{len(found)} of {len(files)} images of {files.origin} cannot be read: {first}"
            f"{', ...' if len(found) > 3 else ''}; mend or remove them, or raise --skip-unreadable by "
            f"{len(found) - at_most}"
        )
    for image in found:
        say(f"left out, since it cannot be read: {shown(image.name)} of {files.origin} ({image.reason})")
    return files.chosen(np.delete(np.arange(len(files)), [image.index for image in found])) if found else files


def each_image(
    files: ImageFiles, look: Callable[[int], _Found], threads: int | None = None, progress: Tick | None = None
) -> Iterator[_Found]:
    """Call a function with the index of each image, in several threads: Pillow decodes without Python's lock.

    Args:
        files: the split.
        look: what is done with an index.
        threads: see `find_unreadable`.
        progress: see `find_unreadable`.

    Yields:
        What the function returned, in the split's order.
    """
    threads = threads or min(32, (os.cpu_count() or 1) + 4)
    waiting: deque[Future[_Found]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for index in range(len(files)):
                waiting.append(pool.submit(look, index))
                # Only so many wait, however many images there are; enough that one slow image holds up none.
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
