"""Images: no format that runs a program or unpacks without a bound."""

import io

import pytest
from PIL import Image, UnidentifiedImageError

from ltzoo.reading.images import open_image
from tests.hostile.pictures import IMAGES, png


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "TGA", "ICO", "PCX"])
def test_other_formats_are_opened(kind):
    with open_image(stored(kind)) as image:
        assert image.size == (16, 16)


def stored(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 30, 90)).save(out, kind)
    return out.getvalue()


def test_photos_are_opened_before_rare_formats_are_tried(monkeypatch):
    Image.init()
    tried: list[str] = []
    for name, (factory, accepts) in Image.OPEN.items():

        def accept(prefix, name=name, accepts=accepts):
            tried.append(name)
            return accepts is None or accepts(prefix)

        monkeypatch.setitem(Image.OPEN, name, (factory, accept))
    for kind, asked in (("JPEG", ["JPEG"]), ("PNG", ["JPEG", "PNG"]), ("WEBP", ["JPEG", "PNG", "WEBP"])):
        tried.clear()
        with open_image(stored(kind)) as image:
            assert (image.format, tried) == (kind, asked)


def test_a_format_that_is_registered_later_is_opened_too(monkeypatch):
    open_image(stored("PNG")).close()
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    with pytest.raises(UnidentifiedImageError):
        open_image(b"LATER")
    Image.register_open("LATER", lambda file, name: Image.new("L", (3, 2)), lambda prefix: prefix.startswith(b"LATER"))
    with open_image(b"LATER") as image:
        assert image.size == (3, 2)


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
