"""Images in files: where they are, which class each is of, and how one is read and decoded."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from ltzoo.data.files.pixels import DECODING, DeepError, as_rgb
from ltzoo.errors import InputError, first_line, named, shortened
from ltzoo.reading.content import read_content
from ltzoo.reading.images import open_image

LARGEST_FILE = 2**29
"""Bytes of an encoded image; the largest that Pillow decodes has as many pixels in 24 bits."""

ClassFolder = Literal["first", "innermost"]
"""Which folder of CLASS/SESSION/photo.jpg is the class: the first, as in torchvision, or the innermost, as in timm."""


@dataclass(frozen=True)
class DataLocation:
    """Where the images of a data set are.

    Attributes:
        data_dir: for ImageNet-LT and iNaturalist 2018 the folder that holds `imagenetlt/` or `inat18/`; for a custom
            data set its folder, a list (.csv, .txt) or a Hub data set: `hfds/USER/NAME[@REVISION]`,
            `hfds//path/to/a/copy`.
        image_root: the folder that paths in lists are relative to; None: the list's own folder.
        image_column: the column of images in a table or a Hub data set; timm's `--input-key`.
        label_column: the column of labels; timm's `--target-key`.
        download: download a Hub data set that is not in the cache of `datasets`.
        class_folder: which folder is the class, for folders and tar files of class folders.
        image_suffix: what the names of images in lists and tables lack, such as `.jpg`; added to each.
    """

    data_dir: Path
    image_root: Path | None = None
    image_column: str = "image"
    label_column: str = "label"
    download: bool = False
    class_folder: ClassFolder = "first"
    image_suffix: str = ""


@dataclass(frozen=True)
class Names:
    """Names in one block of bytes: without an object per name, forked workers share the memory and never copy it.

    Attributes:
        block: all names in UTF-8, one after the other; bytes that are not valid UTF-8 are kept.
        ends: (N,) int64, where each name ends.
    """

    block: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Names":
        """Collect names, each in UTF-8."""
        names = list(names)
        return cls(b"".join(names), np.cumsum(np.fromiter(map(len, names), np.int64, len(names))))

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "Names":
        """Collect names, each as returned by `os.listdir`."""
        return cls.of(text.encode("utf-8", "surrogateescape") for text in texts)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        """Return a name, as `os.listdir` would."""
        begin = self.ends[index - 1] if index else 0
        return self.block[begin : self.ends[index]].decode("utf-8", "surrogateescape")

    def folders(self) -> Iterator[bytes]:
        """Yield the innermost folder of each name; empty where it has none."""
        begin = 0
        for end in self.ends.tolist():
            yield self.block[begin:end].rpartition(b"/")[0].rpartition(b"/")[2]
            begin = end


class Reader(Protocol):
    """Reads one image of many. It is pickled to the workers of the loader, so it opens files only when it reads."""

    def read(self, position: int) -> bytes:
        """Read an image as it is stored, encoded.

        Raises:
            OSError: it is missing or cannot be read.
        """

    def name(self, position: int) -> str:
        """Return the name of an image, relative to the data set: the same on every machine."""

    def stamp(self, positions: np.ndarray) -> bytes:
        """Return size and modification time of the files that these images are in: other bytes once one is written.

        Raises:
            OSError: a file is missing.
        """


def stamp_of(paths: Iterable[str]) -> bytes:
    """Return size in bytes and modification time in nanoseconds of each file, as int64."""
    found = (os.stat(path) for path in paths)  # noqa: PTH116  a Path per image is slow
    return np.array([(status.st_size, status.st_mtime_ns) for status in found], dtype=np.int64).tobytes()


@dataclass(frozen=True)
class PathImages:
    """Reads image files.

    Attributes:
        root: the folder that the names are relative to.
        names: their names.
    """

    root: str
    names: Names

    def path(self, position: int) -> str:
        """Return the path of a file."""
        return os.path.join(self.root, self.names[position])  # noqa: PTH118  six times as fast as a Path

    def read(self, position: int) -> bytes:
        """Read a file, see `Reader`."""
        return read_content(self.path(position), LARGEST_FILE)

    def name(self, position: int) -> str:
        """Return a file's name, see `Reader`."""
        return self.names[position]

    def stamp(self, positions: np.ndarray) -> bytes:
        """Return size and modification time of each file, see `Reader`."""
        return stamp_of(self.path(position) for position in positions.tolist())


@dataclass(frozen=True)
class ImageFiles:
    """One split of a data set in files.

    Attributes:
        reader: reads the images.
        positions: (N,) int64, the position of each image in the reader.
        labels: (N,) int64, from 0 to C - 1.
        class_names: C names, what the labels mean.
        origin: where the split was found, for messages.
        notes: a line for each kind of file or folder that was left out, and for whatever else is worth knowing of how
            the split was read; `ltzoo inspect` and `ltzoo train` print them.
    """

    reader: Reader
    positions: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    origin: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """The number of images of each class."""
        return tuple(np.bincount(self.labels, minlength=len(self.class_names)).tolist())

    @cached_property
    def layout(self) -> str:
        """SHA-256 over names, classes and order: copies of a data set with the same hash are interchangeable."""
        digest = hashlib.sha256()
        for position, label in zip(self.positions.tolist(), self.labels.tolist(), strict=True):
            digest.update(
                f"{self.reader.name(position)}\0{self.class_names[label]}\n".encode("utf-8", "surrogateescape")
            )
        return f"files:{digest.hexdigest()}"

    def stamped_layout(self) -> str:
        """Return SHA-256 over the layout, how images are decoded, and size and modification time of their files.

        Raises:
            InputError: a file is missing; the message names it.
        """
        try:
            stamp = self.reader.stamp(self.positions)
        except OSError as error:
            raise InputError(f"{self.origin} has changed: {first_line(error)}; check that all files exist") from error
        return f"stamped:{hashlib.sha256(f'{DECODING} {self.layout}'.encode() + stamp).hexdigest()}"

    def name(self, index: int) -> str:
        """Return the name of the image at an index."""
        return self.reader.name(int(self.positions[index]))

    def chosen(self, indices: np.ndarray) -> "ImageFiles":
        """Return the split with the images at these indices, in this order."""
        return replace(self, positions=self.positions[indices], labels=self.labels[indices])

    def content(self, index: int) -> bytes:
        """Read an image as it is stored.

        Raises:
            InputError: it cannot be read; the message names it.
        """
        try:
            return self.reader.read(int(self.positions[index]))
        except OSError as error:
            raise InputError(
                f"{named(self.name(index))} of {self.origin} cannot be read ({_reason(error)}); check that it exists"
            ) from error

    def image(self, index: int) -> Image.Image:
        """Read and decode an image, see `content` and `decoded`."""
        return self.decoded(index, self.content(index))

    def decoded(self, index: int, content: bytes) -> Image.Image:
        """Decode an image that has been read, as upright RGB, see `as_rgb`.

        Raises:
            InputError: it is damaged, or its pixels have neither 8 nor 16 bits; the message names it.
        """
        try:
            with open_image(content) as image:
                return as_rgb(image)
        except DeepError as error:
            raise InputError(
                f"{named(self.name(index))} of {self.origin} has {error}; convert it to 8 bits, or add "
                "--skip-unreadable"
            ) from error
        # For damaged files Pillow passes on whatever the decoder of the format raises, even AttributeError.
        except Exception as error:
            raise InputError(
                f"{named(self.name(index))} of {self.origin} is damaged or not an image ({_reason(error)}); "
                "repair or remove it, or add --skip-unreadable"
            ) from error


def reason(error: InputError) -> str:
    """Return in a few words why an image could not be read, from the error that `ImageFiles` raised."""
    return _reason(error.__cause__ or error)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image format that Pillow knows"  # its own message has an address in memory
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shortened(first_line(error))
