"""Images resized to a smaller size before anything else, and cached: decoding photographs is the slowest part."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ltzoo.atomic_write import WriteError, atomic_write
from ltzoo.data.files.image_files import ImageFiles
from ltzoo.data.files.pixels import DECODING
from ltzoo.errors import InputError
from ltzoo.reading.content import read_content
from ltzoo.reading.errors import why

_LARGEST = 2**30
"""Bytes of a cached image: three of each pixel, of the largest that Pillow decodes."""

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '\|u1', 'fortran_order': False, "
    rb"'shape': \(([0-9]{1,9}), ([0-9]{1,9}), 3\), \} *\n",
    re.DOTALL,
)
"""What `np.save` writes before the pixels of an RGB image."""


class ResizedImages:
    """A split whose images are resized so that the shorter side has at most a given number of pixels.

    The cache stores the resized image without loss, so that images are the same with and without it; the key is the
    content of the original file.

    Args:
        files: the split.
        shorter_side: pixels; a smaller image is not resized.
        cache: the folder that stores them, three bytes per pixel; None to resize each time.
    """

    def __init__(self, files: ImageFiles, shorter_side: int, cache: Path | None) -> None:
        self.files, self.shorter_side, self.cache = files, shorter_side, cache
        self.labels = files.labels

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Image.Image:
        """Decode an image, see `ImageFiles.image`.

        Raises:
            InputError: it cannot be read, or the cache cannot be written.
        """
        if self.cache is None:
            return self._resize(self.files.image(index))
        stored = self.files.content(index)
        key = hashlib.sha256(stored).hexdigest()
        kept = self.cache / f"shorter{self.shorter_side}-{DECODING}" / key[:2] / f"{key}.npy"
        image = _read(kept)
        if image is None:
            image = self._resize(self.files.decoded(index, stored))
            self._store(image, kept)
        return image

    def _store(self, image: Image.Image, kept: Path) -> None:
        content = io.BytesIO()
        np.save(content, np.asarray(image))
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            # Several workers, or runs on other machines, may store one image at the same time: the last one wins. What
            # a power failure damages is noticed when it is read.
            with atomic_write(kept, durable=False) as fresh:
                fresh.write_bytes(content.getvalue())
        except (OSError, WriteError) as error:
            raise InputError(
                f"the image cache {self.cache} cannot be written ({why(error.__cause__ or error)}); make room, or name "
                "another folder"
            ) from error

    def _resize(self, image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        if shorter <= self.shorter_side:
            return image
        size = (max(self.shorter_side, round(side * self.shorter_side / shorter)) for side in image.size)
        return image.resize(tuple(size), Image.Resampling.BICUBIC)  # type: ignore[arg-type]  # two numbers


def _read(kept: Path) -> Image.Image | None:
    """Read a cached image; None where there is none, or only a part of it, as after a power failure."""
    try:
        content = read_content(kept, _LARGEST)
    except OSError:
        return None
    # np.load would take the memory that the header asks for, whatever the length of the file.
    header = _HEADER.match(content)
    if (
        header is None
        or len(content) - header.end() != 3 * int(header[1]) * int(header[2])
        or len(content) == header.end()
    ):
        return None
    pixels = np.frombuffer(content, np.uint8, offset=header.end()).reshape(int(header[1]), int(header[2]), 3)
    return Image.fromarray(pixels)
