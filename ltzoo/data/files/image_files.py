"""Images in files: where they are, which class each is of, and how one is read and decoded."""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from ltzoo.errors import InputError, first_line, printable


@dataclass(frozen=True)
class Place:
    """Where a split's files are looked for.

    Attributes:
        data_dir: for ImageNet-LT and iNaturalist 2018 what holds `imagenetlt/` or `inat18/`; for images of one's own
            their folder, a list (.csv, .txt) or a Hub data set: `hfds/USER/NAME[@REVISION]`, `hfds//path/to/a/copy`.
        image_root: what the paths in lists are relative to; None: the list's own folder.
        image_column: the column of images in a table or a Hub data set; timm's `--input-key`.
        label_column: the column of labels; timm's `--target-key`.
        download: fetch a Hub data set that is not in the cache of `datasets`.
    """

    data_dir: Path
    image_root: Path | None = None
    image_column: str = "image"
    label_column: str = "label"
    download: bool = False


@dataclass(frozen=True)
class Names:
    """Names in one block of bytes: no object a name, so workers that are forked never copy them.

    Attributes:
        block: all names in UTF-8, one after the other; bytes that are no UTF-8 stay as they are.
        ends: (N,) int64, where each name ends.
    """

    block: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, names: Iterable[bytes]) -> "Names":
        """Gather names, each in UTF-8."""
        names = list(names)
        return cls(b"".join(names), np.cumsum(np.fromiter(map(len, names), np.int64, len(names))))

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "Names":
        """Gather names, each as `os.listdir` gives it."""
        return cls.of(text.encode("utf-8", "surrogateescape") for text in texts)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        """Return a name as `os.listdir` would give it."""
        begin = self.ends[index - 1] if index else 0
        return self.block[begin : self.ends[index]].decode("utf-8", "surrogateescape")

    def folders(self) -> Iterator[bytes]:
        """Yield the last folder of each name, empty where it has none."""
        begin = 0
        for end in self.ends.tolist():
            yield self.block[begin:end].rpartition(b"/")[0].rpartition(b"/")[2]
            begin = end


class Reader(Protocol):
    """Reads one image of many. It is pickled to the loader's workers, so it opens files when it is asked."""

    def read(self, place: int) -> bytes:
        """Read an image as it is stored, encoded.

        Raises:
            OSError: it is not there, or cannot be read.
        """

    def name(self, place: int) -> str:
        """Say what the image is called, relative to where the data lie: the same on every machine."""


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


@dataclass(frozen=True)
class ImageFiles:
    """One split of a data set in files.

    Attributes:
        reader: reads them.
        places: (N,) int64, what the reader is asked for.
        labels: (N,) int64, from 0 to C - 1.
        class_names: C names, what the labels mean.
        origin: where the split was found, in words.
    """

    reader: Reader
    places: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.places)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """The images of each class."""
        return tuple(np.bincount(self.labels, minlength=len(self.class_names)).tolist())

    @cached_property
    def layout(self) -> str:
        """SHA-256 over names, classes and order: two copies of a data set that agree in it are the same to a run."""
        digest = hashlib.sha256()
        for place, label in zip(self.places.tolist(), self.labels.tolist(), strict=True):
            digest.update(f"{self.reader.name(place)}\0{self.class_names[label]}\n".encode("utf-8", "surrogateescape"))
        return f"files:{digest.hexdigest()}"

    def name(self, index: int) -> str:
        """Name the image at an index."""
        return self.reader.name(int(self.places[index]))

    def chosen(self, indices: np.ndarray) -> "ImageFiles":
        """Keep the images at these indices, in their order."""
        return replace(self, places=self.places[indices], labels=self.labels[indices])

    def content(self, index: int) -> bytes:
        """Read an image as it is stored.

        Raises:
            InputError: it cannot be read; it is named.
        """
        try:
            return self.reader.read(int(self.places[index]))
        except OSError as error:
            raise InputError(
                f"{printable(self.name(index))} of {self.origin} cannot be read ({_reason(error)}); see that it is "
                "there"
            ) from error

    def image(self, index: int) -> Image.Image:
        """Read and decode an image, see `content` and `decoded`."""
        return self.decoded(index, self.content(index))

    def decoded(self, index: int, content: bytes) -> Image.Image:
        """Decode an image that has been read, as RGB; transparency is dropped, as in timm.

        Raises:
            InputError: it is no whole image, or has other pixels than of 8 or 16 bits; it is named.
        """
        try:
            with Image.open(io.BytesIO(content)) as image:
                return _as_rgb(image)
        except _DeepError as error:
            raise InputError(
                f"{printable(self.name(index))} of {self.origin} has {error}; convert it to 8 bits, or add "
                "--skip-unreadable"
            ) from error
        # For damaged files Pillow lets through whatever its formats' decoders raise, down to AttributeError.
        except Exception as error:
            raise InputError(
                f"{printable(self.name(index))} of {self.origin} is no whole image ({_reason(error)}); "
                "mend or remove it, or add --skip-unreadable"
            ) from error


class _DeepError(ValueError):
    """Pixels are such numbers that nobody says which of them is white."""


def _as_rgb(image: Image.Image) -> Image.Image:
    """Convert an image as Pillow does, but for 16-bit grey, which Pillow clips at 255: it is scaled."""
    image.load()
    image.info.pop("transparency", None)  # Pillow would drop it too, and warn of some
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # it brings a PGM to 16 bits
        pixels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise _DeepError(f"pixels of neither 8 nor 16 bits, Pillow's mode {image.mode}")
    return image.convert("RGB")


def reason(error: InputError) -> str:
    """Say in a few words why an image could not be read, from what `ImageFiles` raised."""
    return _reason(error.__cause__ or error)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image that Pillow knows"  # its own words hold an address in memory
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)[:80]
