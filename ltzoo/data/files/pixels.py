"""From a stored image to upright RGB: what its metadata say of its pixels, and what is worth telling of it."""

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from ltzoo.reading.images import open_image

DECODING = "upright"
"""Part of the keys of everything that is computed from decoded images and kept: changed when other pixels come out."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by EXIF orientation. Not Pillow's `exif_transpose`, which also writes the metadata anew
and fails on some that it can read."""

_WHITE_IS_ZERO = (262, 0)
"""TIFF's tag and value."""


class DeepError(ValueError):
    """The pixels have a type for which no value is defined as white."""


def as_rgb(image: Image.Image) -> Image.Image:
    """Decode an opened image as viewers show it: turned upright by its EXIF orientation, as RGB with 8 bits.

    Otherwise this is Pillow's conversion, except that 16-bit grey is scaled where Pillow would clip it at 255.
    Transparency is dropped, as in timm; of several frames the first is read; colour profiles are not applied.

    Raises:
        DeepError: pixels have neither 8 nor 16 bits.
    """
    image.load()  # turns a TIFF itself
    turn = _TURNS.get(_orientation(image))
    image.info.pop("transparency", None)  # Pillow would drop it too, with warnings for some
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # Pillow scales a PGM to 16 bits
        pixels = (np.asarray(image).astype(np.uint32) + 128) // 257
        tag, value = _WHITE_IS_ZERO
        inverted = getattr(image, "tag_v2", {}).get(tag) == value  # Pillow minds it for 8 bits alone
        image = Image.fromarray((255 - pixels if inverted else pixels).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DeepError(f"pixels of neither 8 nor 16 bits, Pillow's mode {image.mode}")
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def unusual_properties(content: bytes) -> tuple[str, ...]:
    """List what is unusual about a stored image that can be decoded, and what `as_rgb` makes of it.

    Args:
        content: the file.

    Returns:
        Phrases that complete `12 images ...`; the same phrase for the same thing.
    """
    found: list[str] = []
    try:
        with open_image(content) as image:
            found += _phrases(image)
    except Exception:  # whether the image can be decoded is decided elsewhere, by `as_rgb`
        return tuple(found)
    return tuple(found)


def _phrases(image: Image.Image) -> Iterator[str]:
    if _orientation(image) in _TURNS:
        yield "turned upright by EXIF orientation"
    if image.mode.startswith("I;16"):
        yield "of 16-bit grey, scaled to 8 bits"
    if image.mode == "CMYK":
        yield "in CMYK, converted to RGB without a colour profile"
    elif _profile_differs(image):
        yield "with a colour profile other than sRGB, which is not applied"
    # Cameras put previews beside the photo of an MPO.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        yield "with several frames or pages, of which the first is read"
    if "transparency" in image.info or (image.mode[-1:] == "A" and np.asarray(image.getchannel("A")).min() < 255):
        yield "with transparency, which is dropped, so that the colours below it are seen"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, also where the metadata are damaged, as viewers do."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow passes on whatever damaged metadata raise
        return 1


def _profile_differs(image: Image.Image) -> bool:
    profile = image.info.get("icc_profile") or b""
    return image.mode.startswith("RGB") and bool(profile) and not (b"sRGB" in profile or b"s\0R\0G\0B" in profile)
