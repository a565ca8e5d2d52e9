"""Images of unknown origin: opened by their content, without the formats that run programs."""

import io
from typing import BinaryIO

from PIL import Image

_REFUSED = ("EPS", "FITS")
"""EPS is a program, which Pillow gives to Ghostscript; Pillow unpacks a compressed FITS without a bound."""


def open_image(source: bytes | BinaryIO) -> Image.Image:
    """Open an image; its pixels are not decoded yet. Pillow itself refuses one of more than 179 million pixels.

    Args:
        source: the content, or a file that is open.

    Raises:
        OSError, ValueError, SyntaxError and others: it is damaged or no image; Pillow passes on what a decoder raises.
    """
    Image.init()
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    return Image.open(file, formats=[name for name in Image.ID if name not in _REFUSED])
