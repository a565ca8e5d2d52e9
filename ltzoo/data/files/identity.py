"""Whether two splits share files: by what a file is, however its path is written, linked or mounted."""

import os
from collections.abc import Hashable
from pathlib import Path

import numpy as np

from ltzoo.data.files.archives import TarImages
from ltzoo.data.files.image_files import ImageFiles, PathImages


def shared_files(one: ImageFiles, two: ImageFiles) -> list[tuple[int, int]]:
    """Find the files that are in both splits, also through symbolic links, hard links, and absolute or relative paths.

    Folders are listed; single files are only asked about where they are links, or where the listing gives two the same
    number: that takes minutes on a network disk. Copies in other files are found by `profile_files`.

    Args:
        one: a split.
        two: another one.

    Returns:
        The indices of each shared file in the first and in the second split, in the order of the first.
    """
    if isinstance(one.reader, TarImages) and isinstance(two.reader, TarImages):
        positions = {key: index for index, key in enumerate(_in_tars(one, one.reader))}
        return sorted(
            (positions[key], index) for index, key in enumerate(_in_tars(two, two.reader)) if key in positions
        )
    if not (isinstance(one.reader, PathImages) and isinstance(two.reader, PathImages)):
        return []
    listings = _Listings()
    by_path: dict[str, int] = {}
    by_number: dict[tuple[int, int], list[int]] = {}
    paths = [listings.resolved(one.reader.path(position)) for position in one.positions.tolist()]
    for index, path in enumerate(paths):
        by_path.setdefault(path, index)
        number = listings.number(path)
        if number is not None:
            by_number.setdefault(number, []).append(index)
    found = []
    for index, position in enumerate(two.positions.tolist()):
        path = listings.resolved(two.reader.path(position))
        same = by_path.get(path)
        if same is None:
            candidates = by_number.get(listings.number(path) or (0, 0), [])
            same = next((other for other in candidates if listings.same_file(paths[other], path)), None)
        if same is not None:
            found.append((same, index))
    return sorted(found)


def _in_tars(files: ImageFiles, reader: TarImages) -> list[Hashable]:
    """Return for each image which tar file it is in, and where in it."""
    tars = {number: _identity(reader.tars[number]) for number in np.unique(reader.tar[files.positions]).tolist()}
    numbers, offsets = reader.tar[files.positions].tolist(), reader.offsets[files.positions].tolist()
    return [(tars[number], offset) for number, offset in zip(numbers, offsets, strict=True)]


def _identity(path: str) -> tuple[int, int] | str:
    """Return device and number of a file; its path where it cannot be asked about."""
    try:
        status = os.stat(path)  # noqa: PTH116  a Path per image is slow
    except OSError:
        return path
    return status.st_dev, status.st_ino


class _Listings:
    """Folders, each listed and resolved once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._listed: dict[str, tuple[int, dict[str, int], set[str]]] = {}
        self._asked: dict[str, tuple[int, int] | str] = {}

    def resolved(self, path: str) -> str:
        """Return the path of a file without links on the way to it, and of what it links to if it is a link."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = self._folders[folder]
        if name in self._list(real)[2]:
            return os.path.realpath(os.path.join(real, name))  # noqa: PTH118  a Path per image is slow
        return os.path.join(real, name)  # noqa: PTH118  as above

    def number(self, path: str) -> tuple[int, int] | None:
        """Return device and number of a resolved path as its folder lists it; None where it is not listed."""
        folder, name = os.path.split(path)
        device, numbers, _ = self._list(folder)
        return (device, numbers[name]) if name in numbers else None

    def same_file(self, one: str, two: str) -> bool:
        """Return whether two paths are one file, by asking: some file systems list one number for all files."""
        for path in (one, two):
            if path not in self._asked:
                self._asked[path] = _identity(path)
        return self._asked[one] == self._asked[two]

    def _list(self, folder: str) -> tuple[int, dict[str, int], set[str]]:
        """List a folder: its device, the number of each entry, and which entries are links."""
        if folder not in self._listed:
            try:
                with os.scandir(folder) as entries:
                    found = [(entry.name, entry.inode(), entry.is_symlink()) for entry in entries]
                device = Path(folder).stat().st_dev
            except OSError:
                device, found = 0, []
            numbers = {name: number for name, number, _ in found}
            self._listed[folder] = device, numbers, {name for name, _, is_link in found if is_link}
        return self._listed[folder]
