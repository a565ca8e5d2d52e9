"""Images that are files of their own."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ltzoo.data.files.names import Names, shown
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError


@dataclass(frozen=True)
class PathImages:
    """Reads files.

    Attributes:
        root: the folder that their names are relative to.
        names: what they are called.
    """

    root: str
    names: Names

    def path(self, place: int) -> str:
        """Say where a file lies."""
        return os.path.join(self.root, self.names[place])  # noqa: PTH118  a Path takes six times as long

    def read(self, place: int) -> bytes:
        """Read a file, see `Reader`."""
        return Path(self.path(place)).read_bytes()

    def name(self, place: int) -> str:
        """Return a file's name, see `Reader`."""
        return self.names[place]


def check_present(files: ImageFiles) -> None:
    """See that the files are there; images that lie in archives or data sets were seen when those were opened.

    Every folder is listed once, since to ask for each file takes minutes where the disk is far away.

    Raises:
        InputError: some are missing; the first of them is named.
    """
    reader = files.reader
    if not isinstance(reader, PathImages):
        return
    listed: defaultdict[str, set[str]] = defaultdict(set)
    missing = []
    for place in files.places.tolist():
        folder, _, name = reader.path(place).rpartition("/")
        if folder not in listed:
            listed[folder] = _files_in(folder)
        # Asked for by itself: some systems list a name in other letters than it can be opened by.
        if name not in listed[folder] and not os.path.isfile(reader.path(place)):  # noqa: PTH113  as above
            missing.append(place)
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(files)} images of {files.origin} are not there, the first is "
            f"{shown(reader.path(missing[0]))}; put them there, or name the folder they lie in with --image-root"
        )


def _files_in(folder: str) -> set[str]:
    """List the files in a folder; none where it cannot be listed, its files are then asked for one by one."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_symlink() and entry.is_file()}
    except OSError:
        return set()
