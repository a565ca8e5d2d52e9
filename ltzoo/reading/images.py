"""Images of unknown origin: opened by their content, without the formats that run programs."""

import io

from PIL import Image

_REFUSED = ("EPS", "FITS")
"""EPS is a program, which Pillow gives to Ghostscript; Pillow unpacks a compressed FITS without a bound."""


def open_image(content: bytes) -> Image.Image:
    """Open an image; its pixels are not decoded yet. Pillow itself refuses one of more than 179 million pixels.

    Raises:
        OSError, ValueError, SyntaxError and others: it is damaged or no image; Pillow passes on what a decoder raises.
    """
    Image.init()
    return Image.open(io.BytesIO(content), formats=[name for name in Image.ID if name not in _REFUSED])
