"""Images of unknown origin: opened by their content, without the formats that run programs."""

import io
from functools import lru_cache
from typing import BinaryIO

from PIL import Image

_REFUSED = ("EPS", "FITS")
"""EPS is a program, which Pillow gives to Ghostscript; Pillow unpacks a compressed FITS without a bound."""

_FIRST = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM")
"""Pillow tries one format after the other, alphabetically by file once all are loaded. Those of nearly all images are
tried first; the beginning of a file tells them apart for certain."""


def open_image(source: bytes | BinaryIO) -> Image.Image:
    """Open an image; its pixels are not decoded yet. Pillow itself refuses one of more than 179 million pixels.

    Args:
        source: the content, or a file that is open.

    Raises:
        OSError, ValueError, SyntaxError and others: it is damaged or no image; Pillow passes on what a decoder raises.
    """
    Image.init()
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    return Image.open(file, formats=_formats(len(Image.ID)))


@lru_cache(maxsize=1)
def _formats(known: int) -> tuple[str, ...]:
    """List the formats to try, in this order; anew once a plug-in has registered more of them with Pillow."""
    allowed = [name for name in Image.ID[:known] if name not in _REFUSED]
    return (*(name for name in _FIRST if name in allowed), *(name for name in allowed if name not in _FIRST))
