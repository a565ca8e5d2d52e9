"""What metadata say of pixels: orientation, inverted grey, profiles; and what is told of unusual images."""

import io
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image, features

import ltzoo
from ltzoo.data.files import ResizedImages, profile_files
from ltzoo.data.files.pixels import as_rgb, unusual_properties
from ltzoo.data.files.profile import UnusualImages
from tests.data.files.test_image_files import holding, stored

UPRIGHT = np.kron(np.random.RandomState(0).randint(0, 256, (3, 2, 3)), np.ones((16, 16, 1), int)).astype(np.uint8)
"""Six blocks of different colours: no two orientations look alike."""

LYING = {  # by the definition of the tag: where row 0 and column 0 of what is stored are in the upright image
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),  # row 0 at the left, column 0 at the top
    6: UPRIGHT.swapaxes(0, 1)[::-1],  # row 0 at the right, column 0 at the top
    7: UPRIGHT.swapaxes(0, 1)[::-1, ::-1],  # row 0 at the right, column 0 at the bottom
    8: UPRIGHT.swapaxes(0, 1)[:, ::-1],  # row 0 at the left, column 0 at the bottom
}
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if features.check("avif") else []))


def turned(orientation, format: str = "JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95}}
    image = Image.fromarray(np.ascontiguousarray(LYING.get(orientation, UPRIGHT)))
    return stored(image, format, exif=exif, **lossless.get(format, {}), **options)


def decoded(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        return as_rgb(image)


@pytest.mark.parametrize("orientation", LYING)
@pytest.mark.parametrize("format", FORMATS)
def test_every_orientation_is_turned_upright(format, orientation):
    content = turned(orientation, format)
    found = np.asarray(decoded(content)).astype(int)
    assert found.shape == UPRIGHT.shape
    assert np.abs(found - UPRIGHT).mean() < 6  # a wrong turn is off by 60 and more
    told = () if orientation == 1 else ("turned upright by EXIF orientation",)
    assert unusual_properties(content) == told


def test_a_loop_sees_what_training_sees_also_from_the_cache(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            (tmp_path / "photos" / split / name / "a.jpg").write_bytes(turned(6))
    seen, _ = ltzoo.create_dataset("imagefolder", tmp_path / "photos", transform=None)[0]
    assert seen.size == (32, 48)
    (tmp_path / "cat").mkdir()
    for _ in range(2):
        small = ResizedImages(holding(tmp_path, turned(6)), 16, tmp_path / "cache").image(0)
        assert small.size == (16, 24)


def test_a_cache_that_was_filled_before_images_were_turned_is_not_used(tmp_path):
    files = holding(tmp_path, turned(6))
    ResizedImages(files, 16, tmp_path / "cache").image(0)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["shorter16-upright"]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_changes_nothing(orientation):
    assert decoded(turned(orientation)).size == (32, 48)


def test_damaged_metadata_do_not_damage_the_image():
    whole = turned(6)
    start = whole.index(b"Exif\0\0") + 6
    for cut in range(start, start + 26):
        with warnings.catch_warnings(action="ignore"):
            content = whole[:cut] + b"\xff" + whole[cut + 1 :]
            assert decoded(content).size in {(32, 48), (48, 32)}
            assert set(unusual_properties(content)) <= {"turned upright by EXIF orientation"}


def test_a_tiff_of_16_bits_whose_white_is_zero_is_inverted():
    grey = np.array([[0, 3000, 65535]], np.uint16)
    content = stored(Image.fromarray(grey), "TIFF", tiffinfo={262: 0})
    assert np.asarray(decoded(content))[0, :, 0].tolist() == [255, 243, 0]


def unusual():
    image = Image.fromarray(UPRIGHT)
    other = Image.fromarray(UPRIGHT[::-1])
    alpha = image.copy()
    alpha.putalpha(100)
    opaque = image.copy()
    opaque.putalpha(255)
    dropped = "with transparency, which is dropped, so that the colours below it are seen"
    frames = "with several frames or pages, of which the first is read"
    yield "plain", stored(image, "PNG"), ()
    yield "opaque", stored(opaque, "PNG"), ()
    yield "alpha", stored(alpha, "PNG"), (dropped,)
    yield "palette", stored(image.quantize(4), "PNG", transparency=0), (dropped,)
    yield "frames", stored(image, "GIF", save_all=True, append_images=[other]), (frames,)
    yield "pages", stored(image, "TIFF", save_all=True, append_images=[other]), (frames,)
    yield "previews of a camera", stored(image, "MPO", save_all=True, append_images=[other]), ()
    yield "CMYK", stored(image.convert("CMYK"), "JPEG"), ("in CMYK, converted to RGB without a colour profile",)
    deep = Image.fromarray(np.zeros((2, 2), np.uint16))
    yield "deep", stored(deep, "PNG"), ("of 16-bit grey, scaled to 8 bits",)
    profile = "with a colour profile other than sRGB, which is not applied"
    yield "profile", stored(image, "PNG", icc_profile="Display P3".encode("utf-16-be")), (profile,)
    yield "sRGB", stored(image, "PNG", icc_profile="sRGB IEC61966-2.1".encode("utf-16-be")), ()
    yield "no image", b"no image", ()


@pytest.mark.parametrize(("content", "told"), [pytest.param(*kind, id=name) for name, *kind in unusual()])
def test_what_is_unusual_is_told(content, told):
    assert unusual_properties(content) == told


def test_of_several_frames_the_first_is_read():
    image, other = Image.fromarray(UPRIGHT), Image.fromarray(UPRIGHT[::-1])
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        content = stored(image, format, save_all=True, append_images=[other])
        assert np.abs(np.asarray(decoded(content)).astype(int) - UPRIGHT).mean() < 8


def test_a_profile_names_the_images(tmp_path):
    files = holding(tmp_path, turned(1), turned(6), turned(3))
    contents = profile_files(files, None).contents
    turns = "turned upright by EXIF orientation"
    assert contents.unusual == {turns: UnusualImages(2, (("train", "cat/1"), ("train", "cat/2")))}
    named = [{"split": "train", "name": "cat/1"}, {"split": "train", "name": "cat/2"}]
    assert contents.to_dict()["unusual"] == {turns: {"images": 2, "first": named}}


def test_of_many_unusual_images_the_first_ten_are_named_and_all_counted(tmp_path):
    files = holding(tmp_path, *[turned(6)] * 12)
    (found,) = profile_files(files, None).contents.unusual.values()
    assert (found.images, found.first) == (12, tuple(("train", f"cat/{k}") for k in range(10)))
