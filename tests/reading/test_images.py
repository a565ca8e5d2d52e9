"""Images: no format that runs a program or unpacks without a bound."""

import io

import pytest
from PIL import Image, UnidentifiedImageError

from ltzoo.reading.images import open_image
from tests.hostile.pictures import IMAGES, png


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "TGA", "ICO", "PCX"])
def test_other_formats_are_opened(kind):
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 90)).save(out, kind)
    with open_image(out.getvalue()) as image:
        assert image.size == (16, 16)


def test_postscript_is_not_given_to_a_program_and_compressed_fits_not_unpacked(monkeypatch):
    program, table = IMAGES[:2]
    for content, kind in ((program, "EPS"), (table, "FITS")):
        with Image.open(io.BytesIO(content)) as image:  # Pillow alone takes it
            assert image.format == kind
        with pytest.raises(UnidentifiedImageError):
            open_image(content)


def test_pillow_refuses_a_size_that_does_not_fit_into_memory():
    with pytest.raises(Image.DecompressionBombError):
        open_image(png(50_000, 50_000, b""))
