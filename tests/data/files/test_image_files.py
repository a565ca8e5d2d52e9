"""Pixels of every kind, as RGB; and whatever a damaged file makes Pillow raise, as one line that names it."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from ltzoo.data.files import ImageFiles, ResizedImages, find_unreadable, profile_files, without_unreadable
from ltzoo.data.files.image_files import Names, PathImages
from tests.data.conftest import pixels
from tests.data.files.trees import refused

DEEP = np.array([[0, 127, 128, 3000, 32767, 65407, 65408, 65535]], np.uint16)
SCALED = [0, 0, 0, 12, 127, 255, 255, 255]
COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
ALPHA = np.dstack([COLOURS, np.array([[255, 0, 128]], np.uint8)])


def stored(image: Image.Image, format: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def holding(root: Path, *contents: bytes) -> ImageFiles:
    """A split of these files."""
    names = [f"cat/{k}" for k in range(len(contents))]
    (root / "cat").mkdir(exist_ok=True)
    for name, content in zip(names, contents, strict=True):
        (root / name).write_bytes(content)
    count = len(contents)
    reader = PathImages(str(root), Names.of_texts(names))
    return ImageFiles(reader, np.arange(count), np.zeros(count, np.int64), ("cat",), "here")


def seen(root: Path, content: bytes) -> np.ndarray:
    """The pixels, decoded without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = holding(root, content).image(0)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_the_stamp_changes_with_size_or_time_of_one_file(tmp_path):
    files = holding(tmp_path, *[b"x" * size for size in range(1, 40)])
    stamps = {files.stamped_layout()}
    path = tmp_path / "cat" / "23"
    time = path.stat().st_mtime_ns
    assert files.stamped_layout() in stamps
    for content, later in ((path.read_bytes(), time + 1_000), (b"y", time), (b"y", time + 1_000)):
        path.write_bytes(content)
        os.utime(path, ns=(later, later))
        stamps.add(files.stamped_layout())
    assert len(stamps) == 4 and len({files.layout, holding(tmp_path, *[b""] * 39).layout}) == 1
    path.unlink()
    refused("^here has changed: .*cat/23'; check that all files exist", files.stamped_layout)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits_is_scaled(tmp_path, format):
    content = stored(Image.fromarray(DEEP), format)
    assert seen(tmp_path, content).tolist() == [[[value] * 3 for value in SCALED]]
    assert np.asarray(ResizedImages(holding(tmp_path, content), 2, None).image(0))[0, 3].tolist() == [12] * 3


def test_the_order_of_the_bytes_does_not_matter(tmp_path):
    content = stored(Image.frombytes("I;16B", DEEP.shape[::-1], DEEP.astype(">u2").tobytes()), "TIFF")
    assert seen(tmp_path, content)[0, :, 0].tolist() == SCALED


@pytest.mark.parametrize(("dtype", "mode"), [(np.int32, "I"), (np.float32, "F")])
def test_deeper_pixels_are_refused(tmp_path, dtype, mode):
    files = holding(tmp_path, stored(Image.fromarray(DEEP.astype(dtype)), "TIFF"))
    why = f"pixels of neither 8 nor 16 bits, Pillow's mode {mode}"
    refused(f"^cat/0 of here has {why}; convert it to 8 bits, or add --skip-unreadable$", files.image, 0)
    assert [image.reason for image in find_unreadable(files)] == [why]
    assert [image.reason for image in profile_files(files, None).contents.unreadable["train"]] == [why]


def kinds():
    """One of each kind, and the colours that it shows."""
    grey = np.array([[200, 10]], np.uint8)
    colours = Image.fromarray(COLOURS)
    large = colours.resize((48, 16), Image.Resampling.NEAREST)
    yield "1 bit", stored(Image.fromarray(np.array([[True, False]])), "PNG"), [[[255] * 3, [0] * 3]]
    yield "grey", stored(Image.fromarray(grey), "PNG"), [[[200] * 3, [10] * 3]]
    yield "grey, 10 transparent", stored(Image.fromarray(grey), "PNG", transparency=10), [[[200] * 3, [10] * 3]]
    alpha = Image.fromarray(np.array([[[200, 0], [10, 255]]], np.uint8), "LA")
    yield "grey and alpha", stored(alpha, "PNG"), [[[200] * 3, [10] * 3]]
    yield "palette", stored(colours.quantize(4), "PNG"), COLOURS.tolist()
    yield "palette and alphas", stored(colours.quantize(4), "PNG", transparency=b"\0\x80\xff"), COLOURS.tolist()
    yield "palette, one transparent", stored(colours.quantize(4), "GIF", transparency=1), COLOURS.tolist()
    for format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        yield f"alpha, {format}", stored(Image.fromarray(ALPHA), format, **options), COLOURS.tolist()
    yield "CMYK", stored(colours.convert("CMYK"), "TIFF"), COLOURS.tolist()
    yield "CMYK, Adobe's", stored(large.convert("CMYK"), "JPEG", quality=100), np.asarray(large).tolist()
    yield "YCbCr", stored(large, "JPEG", quality=100, subsampling=0), np.asarray(large).tolist()


@pytest.mark.parametrize(("content", "shows"), [pytest.param(*kind, id=name) for name, *kind in kinds()])
def test_every_kind_of_pixels_shows_its_colours(tmp_path, content, shows):
    found = seen(tmp_path, content).astype(int)
    assert found.shape == np.shape(shows)
    assert np.abs(found - shows).max() <= (2 if content.startswith(b"\xff\xd8") else 0)


def damaged():
    """Files of which Pillow raises something else than OSError."""
    image = Image.fromarray(pixels(1, side=24)[0])
    dds = stored(image, "DDS")
    yield "DDS", dds[:80] + bytes(16) + dds[96:], "Unknown pixel format flags 0"
    if features.check("avif"):
        whole = stored(image, "AVIF")
        yield "AVIF", whole.replace(b"iloc", b"xxxx"), "Failed to decode image: Missing or empty"


@pytest.mark.parametrize(("content", "why"), [pytest.param(*file, id=name) for name, *file in damaged()])
def test_whatever_pillow_raises_the_image_is_named(tmp_path, content, why):
    with pytest.raises(RuntimeError), Image.open(io.BytesIO(content)) as image:
        image.load()
    check_named(holding(tmp_path, content), why)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("why"), AttributeError("why"), RecursionError("why")])
def test_any_error_of_a_decoder_names_the_image(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Image.Image, "convert", fail)
    check_named(holding(tmp_path, stored(Image.fromarray(COLOURS), "PNG")), str(error) or "MemoryError")


def check_named(files: ImageFiles, why: str) -> None:
    """Training, --skip-unreadable and inspect say which image it is."""
    for images in (files, ResizedImages(files, 8, None)):
        refused(rf"^cat/0 of here is damaged or not an image \({why}.*\); repair or remove it", images.image, 0)
    assert [image.name for image in profile_files(files, None).contents.unreadable["train"]] == ["cat/0"]
    refused(rf"^1 of 1 images of here cannot be read: cat/0 \({why}", without_unreadable, files, 0, pytest.fail)
    said = []
    assert len(without_unreadable(files, 1, said.append)) == 0
    assert "cat/0 of here" in said[0]
