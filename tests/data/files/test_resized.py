"""Resized images: the same with and without a cache, keyed by content, and complete with several writers at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ltzoo.data import NATURAL_BENCHMARKS, Augmentation, ModelInput
from ltzoo.data.batches import BatchSettings, Delivery, make_train_batches
from ltzoo.data.files import ResizedImages
from ltzoo.errors import InputError
from tests.data.files.trees import opened, refused
from tests.data.pictures import Made

SIZES = ((60, 40), (24, 90), (16, 16), (12, 9), (17, 300))
"""The last but one is smaller than what is asked for, 16, and the third as small."""

CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path):
    """A picture of each size, and one as other programs store it."""
    (tmp_path / "train" / "cat").mkdir(parents=True)
    for k, size in enumerate(SIZES):
        picture(k, size).save(tmp_path / "train" / "cat" / f"{k}.png")
    picture(9, (50, 40)).convert("P").save(tmp_path / "train" / "cat" / "9.png")
    return opened(tmp_path)


def picture(k: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Made(1, size).image(k)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode == "RGB" and np.array_equal(np.asarray(one), np.asarray(other))


def kept_in(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_an_image_is_the_same_without_a_cache_and_before_and_after_it_is_filled(files, tmp_path):
    without, cached = ResizedImages(files, 16, None), ResizedImages(files, 16, tmp_path / "cache")
    assert len(cached) == 6 and cached.labels.tolist() == [0] * 6
    plain = [without.image(k) for k in range(6)]
    assert all(same(cached.image(k), plain[k]) for k in range(6))
    assert len(kept_in(tmp_path / "cache")) == 6
    filled = ResizedImages(files, 16, tmp_path / "cache")
    assert all(same(filled.image(k), plain[k]) for k in range(6))
    assert same(cached.image(0), plain[0])


def test_the_shorter_side_is_brought_down_and_smaller_images_stay_as_they_are(files):
    shrunk = ResizedImages(files, 16, None)
    assert [shrunk.image(k).size for k in range(6)] == [(24, 16), (16, 60), (16, 16), (12, 9), (16, 282), (20, 16)]
    assert all(same(shrunk.image(k), files.image(k)) for k in (2, 3))


def test_what_is_kept_is_not_decoded_again(files, tmp_path, monkeypatch):
    shrunk = ResizedImages(files, 16, tmp_path / "cache")
    first = shrunk.image(0)
    monkeypatch.setattr(Image, "open", lambda *arguments: pytest.fail("decoded"))
    assert same(shrunk.image(0), first)


def test_a_changed_file_of_the_same_name_is_another_image(files, tmp_path):
    shrunk = ResizedImages(files, 16, tmp_path / "cache")
    before = shrunk.image(0)
    picture(100).save(tmp_path / "train" / "cat" / "0.png")
    assert not same(shrunk.image(0), before)
    assert same(shrunk.image(0), ResizedImages(files, 16, None).image(0))
    picture(0).save(tmp_path / "train" / "cat" / "0.png")
    assert same(shrunk.image(0), before)
    assert len(kept_in(tmp_path / "cache")) == 2


def test_another_shorter_side_is_kept_beside_it(files, tmp_path):
    sizes = [ResizedImages(files, side, tmp_path / "cache").image(0).size for side in (16, 20, 16)]
    assert sizes == [(24, 16), (30, 20), (24, 16)]


def test_two_threads_that_cache_the_same_image_both_get_it(files, tmp_path, monkeypatch):
    """The second does all of it between the first one's writing and keeping."""
    one, other = (ResizedImages(files, 16, tmp_path / "cache") for _ in range(2))
    replace, got = Path.replace, []

    def replace_later(self, target):
        if not got:
            got.append(None)
            got[0] = other.image(0)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_later)
    first = one.image(0)
    assert same(first, got[0]) and same(one.image(0), first)
    assert [path.suffix for path in kept_in(tmp_path / "cache")] == [".npy"]


def test_many_threads_and_workers_at_once_leave_whole_images_alone(files, tmp_path):
    plain = [ResizedImages(files, 16, None).image(k) for k in range(6)]
    shrunk = ResizedImages(files, 16, tmp_path / "threads")
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(shrunk.image, [k for _ in range(20) for k in range(6)]))
    assert all(same(image, plain[k % 6]) for k, image in enumerate(images))

    # Six times the same image for each of two workers.
    alike = files.chosen(np.zeros(12, dtype=np.int64))
    data_set = NATURAL_BENCHMARKS["imagefolder"].with_counts(
        (12,), ("cat",), ModelInput(16, (0.5,) * 3, (0.2,) * 3, 1, "bicubic")
    )
    settings = BatchSettings(data_set.data_set, (Augmentation(0, False),), 1, 0)
    cached = make_train_batches(ResizedImages(alike, 16, tmp_path / "workers"), settings, Delivery(CPU, workers=2))
    here = make_train_batches(ResizedImages(alike, 16, None), settings, Delivery(CPU))
    for epoch in (0, 1):
        pairs = zip(cached.epoch(epoch), here.epoch(epoch), strict=True)
        assert all(torch.equal(one[0], other[0]) for one, other in pairs)
    for cache, count in (("threads", 6), ("workers", 1)):
        found = kept_in(tmp_path / cache)
        assert len(found) == count and {path.suffix for path in found} == {".npy"}


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(files, tmp_path, monkeypatch):
    shrunk, write = ResizedImages(files, 16, tmp_path / "cache"), Path.write_bytes

    def full_disk(self, content):
        write(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        refused(r"^the image cache .*cache cannot be written \(No space left on device\); make room", shrunk.image, 0)
    assert kept_in(tmp_path / "cache") == []
    assert same(shrunk.image(0), ResizedImages(files, 16, None).image(0))


def test_a_cache_that_is_no_folder_is_one_line(files, tmp_path):
    (tmp_path / "cache").write_text("")
    refused("the image cache .* cannot be written", ResizedImages(files, 16, tmp_path / "cache").image, 0)


@pytest.mark.parametrize("keep", [0, 40, 200, -1])
def test_a_truncated_cache_file_is_written_again(keep, files, tmp_path):
    shrunk = ResizedImages(files, 16, tmp_path / "cache")
    first = shrunk.image(0)
    (kept,) = kept_in(tmp_path / "cache")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:keep])
    assert same(shrunk.image(0), first)
    assert kept.read_bytes() == whole


def test_an_image_that_cannot_be_read_is_named_and_not_kept(files, tmp_path):
    path = tmp_path / "train" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:60])
    for cache in (None, tmp_path / "cache"):
        refused(r"cat/0.png of .* is damaged or not an image", ResizedImages(files, 16, cache).image, 0)
    path.unlink()
    with pytest.raises(InputError, match=r"cat/0.png of .* cannot be read"):
        ResizedImages(files, 16, tmp_path / "cache").image(0)
    assert kept_in(tmp_path / "cache") == []
