"""Images that lie in files: where each is and which class it is of; decoded one at a time, when asked for."""

import hashlib
import io
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from ltzoo.data.files.names import shown
from ltzoo.errors import InputError, first_line


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
                f"{shown(self.name(index))} of {self.origin} cannot be read ({_reason(error)}); see that it is there"
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
                f"{shown(self.name(index))} of {self.origin} has {error}; convert it to 8 bits, or add "
                "--skip-unreadable"
            ) from error
        # For damaged files Pillow lets through whatever its formats' decoders raise, down to AttributeError.
        except Exception as error:
            raise InputError(
                f"{shown(self.name(index))} of {self.origin} is no whole image ({_reason(error)}); "
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
