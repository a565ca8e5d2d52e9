"""Damaged images are found, named and left out; however many images there are, few are in memory."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ltzoo.data.files import ImageFiles, find_unreadable, without_unreadable
from ltzoo.data.files.checks import each_image
from ltzoo.data.files.image_files import Names, PathImages
from ltzoo.errors import InputError
from tests.data.conftest import pixels, png

NAMES = ("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png")


def split(root: Path, names: tuple[str, ...] = NAMES) -> ImageFiles:
    """The images of these names, whether they are there or not."""
    labels = np.array([name.startswith("dog") for name in names], dtype=np.int64)
    reader = PathImages(str(root), Names.of_texts(names))
    return ImageFiles(reader, np.arange(len(names)), labels, ("cat", "dog"), "the train folder")


@pytest.fixture
def whole(tmp_path):
    """Five images that can be read."""
    for name, image in zip(NAMES, pixels(5, side=9), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(image))
    return split(tmp_path)


@pytest.fixture
def damaged(whole, tmp_path):
    """Four of them damaged, each in its own way."""
    (tmp_path / "cat/0.png").write_bytes((tmp_path / "cat/0.png").read_bytes()[:-40])
    (tmp_path / "cat/2.png").write_bytes(b"")
    (tmp_path / "dog/0.png").write_bytes(b"<html>404</html>")
    (tmp_path / "dog/1.png").unlink()
    return whole


def test_images_that_can_be_read_are_all_kept(whole):
    ticks = []
    assert find_unreadable(whole, progress=lambda: ticks.append(1)) == []
    assert len(ticks) == 5
    assert without_unreadable(whole, 0, pytest.fail) is whole


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_each_damaged_image_is_named_with_its_reason(threads, damaged):
    found = find_unreadable(damaged, threads)
    assert [(image.index, image.name) for image in found] == [(k, NAMES[k]) for k in (0, 2, 3, 4)]
    reasons = [image.reason for image in found]
    assert "truncated" in reasons[0].lower()
    assert reasons[1:] == [
        "not an image format that Pillow knows",
        "not an image format that Pillow knows",
        "No such file or directory",
    ]


def test_what_is_left_out_is_said(damaged):
    said = []
    kept = without_unreadable(damaged, 4, said.append)
    assert [kept.name(index) for index in range(len(kept))] == ["cat/1.png"]
    assert kept.class_counts == (1, 0)
    assert kept.class_names == ("cat", "dog")
    assert len(said) == 4
    assert said[1] == (
        "left out, since it cannot be read: cat/2.png of the train folder (not an image format that Pillow knows)"
    )


def test_more_than_may_be_left_out_is_an_error(damaged):
    said = []
    with pytest.raises(InputError) as error:
        without_unreadable(damaged, 3, said.append)
    text = str(error.value)
    assert text.startswith("4 of 5 images of the train folder cannot be read: cat/0.png (")
    assert (
        ", cat/2.png (not an image format that Pillow knows), dog/0.png (not an image format that Pillow knows), ...;"
        in text
    )
    assert text.endswith("; repair or remove them, or raise --skip-unreadable by 1")
    assert "dog/1" not in text
    assert "\n" not in text
    assert said == []


def test_a_name_with_a_line_end_stays_one_line(tmp_path):
    with pytest.raises(InputError) as error:
        without_unreadable(split(tmp_path, ("cat/a\nb.png",)), 0, pytest.fail)
    assert r": cat/a\nb.png (No such file or directory); repair" in str(error.value)


def test_a_split_without_images_has_nothing_unreadable(tmp_path):
    assert find_unreadable(split(tmp_path, ())) == []


def test_several_are_looked_at_at_once_and_few_wait(whole):
    """An image that takes long holds up those behind it only so far, and what was found comes in order."""
    many = whole.chosen(np.zeros(500, dtype=np.int64))
    lock, begun, running, most = threading.Lock(), [0], [0], [0]
    ahead = []

    def look(index):
        with lock:
            begun[0] += 1
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05 if index == 10 else 0.0005)
        with lock:
            running[0] -= 1
        return index

    for taken, index in enumerate(each_image(many, look, threads=3)):
        assert index == taken
        ahead.append(begun[0] - taken)
    assert most[0] == 3
    assert max(ahead) <= 8 * 3 + 1
    assert begun[0] == 500


def test_what_a_look_raises_ends_the_scan(whole):
    many = whole.chosen(np.zeros(500, dtype=np.int64))
    looked = []

    def look(index):
        looked.append(index)
        if index == 3:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        list(each_image(many, look, threads=2))
    assert len(looked) < 100
