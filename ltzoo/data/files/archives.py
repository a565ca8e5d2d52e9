"""Images in tar files, read without unpacking: tar files of class folders, and WebDataset shards."""

import posixpath
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ltzoo.data.files.classes import label_classes, natural_key
from ltzoo.data.files.image_files import LARGEST_FILE, ClassFolder, ImageFiles, Names, stamp_of
from ltzoo.data.files.left_out import LeftOut, suffix
from ltzoo.data.files.levels import by_folder, note_levels
from ltzoo.errors import InputError, first_line, named
from ltzoo.reading.content import open_regular

_LARGEST_TEXT = 2**20
"""Bytes of a class in a shard, and of a header with a long name."""

_WITH_TEXT = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
)  # fmt: skip
"""Types of headers that are followed by text."""


@dataclass(frozen=True)
class TarImages:
    """Reads members of tar files at known offsets; a file is opened for each image, so that workers share no position.

    Attributes:
        tars: the tar files.
        tar: (N,) int64, the index of the tar file of each image.
        offsets: (N,) int64, the byte at which the image begins.
        sizes: (N,) int64, its size in bytes.
        names: its path in the tar file; of several tar files, preceded by the name of the tar file.
    """

    tars: tuple[str, ...]
    tar: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    names: Names

    def read(self, position: int) -> bytes:
        """Read a member, see `Reader`."""
        with open_regular(self.tars[self.tar[position]]) as file:
            file.seek(self.offsets[position])
            content = file.read(self.sizes[position])
        if len(content) < self.sizes[position]:
            raise OSError("the tar file ends before it does")
        return content

    def name(self, position: int) -> str:
        """Return a member's name, see `Reader`."""
        return self.names[position]

    def stamp(self, positions: np.ndarray) -> bytes:
        """Return size and modification time of the tar files, and where in them the images are, see `Reader`."""
        tars = stamp_of(self.tars[number] for number in np.unique(self.tar[positions]).tolist())
        return tars + self.offsets[positions].tobytes() + self.sizes[positions].tobytes()


@dataclass(frozen=True)
class _Member:
    name: str
    offset: int
    size: int


class _BoundedInfo(tarfile.TarInfo):
    """A header whose long name or attributes are bounded; tarfile would read as many bytes as it says."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        """Process the header that was read, see `tarfile.TarInfo._proc_member`."""
        if self.type in _WITH_TEXT and not 0 <= self.size <= _LARGEST_TEXT:
            raise tarfile.ReadError("a header has a name that is too long")
        return super()._proc_member(tarfile_)  # type: ignore[misc]


def read_tar(path: Path, level: ClassFolder = "first") -> ImageFiles:
    """Find the images in a tar file of class folders; classes and order are those of `read_folder`.

    timm's own reader is not used: it silently skips links and everything after a damaged header (see its test), and
    keeps a kilobyte per image, which cannot be pickled to workers.

    Args:
        path: the tar file, not compressed.
        level: which folder is the class, see `by_folder`.

    Raises:
        InputError: it cannot be read, has no image, one twice or one in no class folder, or a class name is invalid.
    """
    left_out = LeftOut()
    members = {
        member.name: member
        for member in _members(path, lambda name: left_out.is_walked_to(name) and left_out.is_image(name))
    }
    notes = left_out.notes(str(path))
    if not members:
        there = f" ({notes[-1].partition(': ')[2]})" if notes else ""
        raise InputError(f"{path} has no image{there}; check that it is the right tar file")
    paths = list(members)
    order, labels, class_names = by_folder(paths, str(path), level)
    notes += note_levels(paths, str(path), level, len(class_names))
    reader = _reader([path], [(0, members[paths[k]]) for k in order])
    return ImageFiles(reader, np.arange(len(order)), labels, class_names, str(path), tuple(notes))


def read_shards(paths: Sequence[Path]) -> ImageFiles:
    """Find the images in WebDataset shards: under each key an image and a `.cls` whose text is its class.

    Other members are left out and counted. Images keep their order within a shard; classes are sorted as in lists.

    Args:
        paths: the shards, uncompressed tar files in one folder.

    Raises:
        InputError: one cannot be read; a key has two images, an image no class or a class no image; a class name is
            invalid.
    """
    paths = sorted(paths, key=lambda path: natural_key(path.name))
    origin = str(paths[0].parent / f"{paths[0].name.partition('-')[0]}-*.tar")
    found: list[tuple[int, _Member]] = []
    texts: list[str] = []
    left_out = LeftOut()
    for number, path in enumerate(paths):
        members, classes = _shard(path, left_out)
        found += [(number, replace(member, name=f"{path.name}/{member.name}")) for member in members]
        texts += classes
    if not found:
        raise InputError(f"{origin} have no image with a class; a WebDataset shard has KEY.jpg and KEY.cls")
    labels, class_names = label_classes(texts, origin)
    notes = tuple(left_out.notes(origin))
    return ImageFiles(_reader(paths, found), np.arange(len(found)), labels, class_names, origin, notes)


def _shard(path: Path, left_out: LeftOut) -> tuple[list[_Member], list[str]]:
    """Find the images of a shard, and the class of each."""
    images: dict[str, _Member] = {}
    classes: dict[str, _Member] = {}
    for member in _members(path, lambda name: suffix(name) == ".cls" or left_out.is_image(name)):
        folder, name = posixpath.split(member.name)
        stem, _, kind = name.partition(".")
        if not stem or "." in kind:  # WebDataset: KEY.mask.png is not the image of KEY
            left_out.others.append(member.name)
            continue
        kept = classes if kind.lower() == "cls" else images
        key = posixpath.join(folder, stem)
        if key in kept:
            raise InputError(f"{path} has {named(kept[key].name)} and {named(member.name)}; remove one of them")
        kept[key] = member
    alone = next(
        (kept[key] for kept in (images, classes) for key in images.keys() ^ classes.keys() if key in kept), None
    )
    if alone is not None:
        needed = "image" if suffix(alone.name) == ".cls" else ".cls"
        raise InputError(f"{path} has {named(alone.name)}, but no {needed} of that key; write the shard again")
    try:
        with open_regular(path) as file:
            return list(images.values()), [_text(file, classes[key]) for key in images]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} has a .cls that is not UTF-8 text; write the shard again") from error


def _text(file: BinaryIO, member: _Member) -> str:
    file.seek(member.offset)
    return file.read(member.size).decode().strip()


def _members(path: Path, wanted: Callable[[str], bool]) -> Iterator[_Member]:
    """Yield the members of a tar file whose names are wanted; each name is asked for once.

    Raises:
        InputError: the file cannot be read, is compressed, damaged or truncated, or such a member is a link or there
            twice.
    """
    seen = set()
    reached = -1
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_BoundedInfo) as archive:
            while (entry := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member
                if entry.offset <= reached or entry.size < 0:  # before 3.11.14, tarfile would go on in a circle
                    raise tarfile.ReadError("a header has a negative size")
                reached = entry.offset
                name = posixpath.normpath(entry.name)
                if entry.isdir() or not wanted(name):
                    continue
                if not entry.isreg() or entry.issparse():
                    raise InputError(
                        f"{named(name)} of {path} is a link or has holes; pack the tar file again with "
                        "tar --dereference --hard-dereference"
                    )
                if entry.size > (_LARGEST_TEXT if suffix(name) == ".cls" else LARGEST_FILE):
                    raise InputError(f"{named(name)} of {path} has {entry.size} bytes, too many; leave it out")
                if name in seen:
                    raise InputError(f"{path} has {named(name)} twice; pack the tar file again")
                seen.add(name)
                yield _Member(name, entry.offset_data, entry.size)
            # tarfile takes a damaged header for the end of the file; the real end is a block of zeros.
            file.seek(archive.offset)
            whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    # For damaged headers tarfile lets Python's own errors through.
    except (OSError, tarfile.TarError, ValueError, LookupError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} cannot be read as a tar file without compression ({first_line(error)}); download or pack it again"
        ) from error
    if not whole:
        raise InputError(f"{path} is damaged or cut short at byte {archive.offset}; download or pack it again")


def _reader(paths: Sequence[Path], found: Sequence[tuple[int, _Member]]) -> TarImages:
    return TarImages(
        tuple(map(str, paths)),
        np.array([number for number, _ in found], dtype=np.int64),
        np.array([member.offset for _, member in found], dtype=np.int64),
        np.array([member.size for _, member in found], dtype=np.int64),
        Names.of_texts(member.name for _, member in found),
    )
