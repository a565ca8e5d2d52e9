"""A data set at a glance: counts, groups, sizes, damage and copies, each image read once."""

import json
from collections import Counter

import numpy as np
import pytest

from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.data.files import ImageFiles, profile_files
from ltzoo.data.files.profile import Copy
from ltzoo.errors import InputError
from tests.data.conftest import pixels, png


class Memory:
    """A reader of images in memory that counts what is read; None is not there."""

    def __init__(self, images):
        self.images, self.counts = list(images.items()), Counter()

    def read(self, place):
        self.counts[place] += 1
        name, content = self.images[place]
        if content is None:
            raise FileNotFoundError(2, "No such file or directory", name)
        return content

    def name(self, place):
        return self.images[place][0]


def split(images, class_names, origin="train"):
    """A split of images by their names, `class/number`."""
    labels = np.array([class_names.index(name.split("/")[0]) for name in images], dtype=np.int64)
    return ImageFiles(Memory(images), np.arange(len(images)), labels, tuple(class_names), origin)


def numbered(counts, seed=0, side=5):
    """As many images of each class as it says, all different."""
    drawn = iter(pixels(sum(counts.values()), seed, side))
    return {f"{name}/{k}": png(next(drawn)) for name, n in counts.items() for k in range(n)}


COUNTS = {"a": 120, "b": 40, "c": 1, "d": 19, "e": 100, "f": 20}


def test_counts_and_groups_are_those_of_the_files():
    train = split(numbered(COUNTS), list(COUNTS))
    test = split(numbered({"a": 2, "d": 3}, seed=1), list(COUNTS), "test")
    profile = profile_files(train, test)
    assert profile.class_names == tuple("abcdef")
    assert profile.train_counts == (120, 40, 1, 19, 100, 20)
    assert profile.test_counts == (2, 0, 0, 3, 0, 0)
    assert (profile.n_max, profile.n_min, profile.imbalance_factor) == (120, 1, 120.0)
    assert profile.largest_tenth == (1, 120 / 300)
    count, thirds = profile.groups
    assert (count.rule, thirds.rule) == ("count", "thirds")
    assert count.classes == {"head": (0,), "mid": (1, 4, 5), "tail": (2, 3)}
    assert thirds.classes == {"head": (0, 4), "mid": (1, 5), "tail": (3, 2)}
    assert profile.one_image == ("c",)
    assert profile.few == ("c", "d")
    assert profile.without_test == ("b", "c", "e", "f")


def test_the_largest_tenth_is_rounded_up():
    names = [f"k{j:02}" for j in range(11)]
    counts = {name: 1 + 2 * (j < 3) for j, name in enumerate(names)}
    assert profile_files(split(numbered(counts), names), None).largest_tenth == (2, 6 / 17)


def test_each_image_is_read_once_and_counted():
    train, test = split(numbered(COUNTS), list(COUNTS)), split(numbered({"a": 2}, seed=1), list(COUNTS), "test")
    ticks = []
    contents = profile_files(train, test, threads=3, progress=lambda: ticks.append(1)).contents
    assert train.reader.counts == dict.fromkeys(range(300), 1)
    assert test.reader.counts == dict.fromkeys(range(2), 1)
    assert len(ticks) == 302
    assert contents.unreadable == {"train": (), "test": ()}
    assert contents.repeated == contents.emptied == ()


def test_quick_opens_no_image():
    train = split(numbered(COUNTS), list(COUNTS))
    profile = profile_files(train, None, quick=True)
    assert not train.reader.counts
    assert profile.contents is None
    assert profile.train_counts == tuple(COUNTS.values())
    assert profile.test_counts is None
    assert profile.without_test == ()
    assert json.loads(json.dumps(profile.to_dict()))["contents"] is None


def test_sizes_are_of_the_shorter_side_over_all_splits():
    images = {"a/0": png(np.zeros((30, 50, 3), np.uint8)), "a/1": png(np.zeros((41, 20, 3), np.uint8))}
    test = {"a/2": png(np.zeros((10, 90, 3), np.uint8)), "a/3": b"damaged"}
    contents = profile_files(split(images, ["a"]), split(test, ["a"], "test")).contents
    assert contents.shorter_side == 20
    assert contents.smallest == ("test", "a/2", 90, 10)


def test_copies_are_found_within_and_across_splits():
    one, two, three, four = map(png, pixels(4))
    train = split({"a/0": one, "a/1": one, "b/2": two, "a/3": three, "b/4": three, "b/5": four}, ["a", "b"])
    test = split({"b/6": two, "b/7": two, "a/8": three}, ["a", "b"], "test")
    contents = profile_files(train, test).contents
    same = {
        frozenset({Copy("train", "a/0", "a"), Copy("train", "a/1", "a")}),
        frozenset({Copy("train", "b/2", "b"), Copy("test", "b/6", "b"), Copy("test", "b/7", "b")}),
        frozenset({Copy("train", "a/3", "a"), Copy("train", "b/4", "b"), Copy("test", "a/8", "a")}),
    }
    assert {frozenset(copies) for copies in contents.repeated} == same
    assert {copies[0].name for copies in contents.leaked} == {"b/2", "a/3"}
    assert contents.contradictory == ((Copy("train", "a/3", "a"), Copy("train", "b/4", "b"), Copy("test", "a/8", "a")),)
    assert {tuple(copy.name for copy in copies) for copies in contents.repeated_in("train")} == {
        ("a/0", "a/1"),
        ("a/3", "b/4"),
    }
    assert contents.repeated_in("test") == ((Copy("test", "b/6", "b"), Copy("test", "b/7", "b")),)


def test_the_same_pixels_in_other_bytes_are_no_copy():
    image = png(pixels(1)[0])
    assert profile_files(split({"a/0": image, "a/1": image + b"\0"}, ["a"]), None).contents.repeated == ()


def test_damaged_images_are_named_and_are_no_copies_of_each_other():
    whole = numbered({"a": 2, "b": 1})
    train = split(whole | {"b/8": b"", "c/0": b"", "c/1": None}, ["a", "b", "c"])
    test = split({"a/9": whole["a/0"][:-30]}, ["a", "b", "c"], "test")
    profile = profile_files(train, test)
    contents = profile.contents
    assert profile.train_counts == (2, 2, 2)
    assert [(image.index, image.name) for image in contents.unreadable["train"]] == [(3, "b/8"), (4, "c/0"), (5, "c/1")]
    assert contents.unreadable["train"][2].reason == "No such file or directory"
    assert [image.name for image in contents.unreadable["test"]] == ["a/9"]
    assert contents.emptied == ("c",)
    assert contents.repeated == ()
    document = json.loads(json.dumps(profile.to_dict()))["contents"]
    assert document["unreadable"][0] == {
        "split": "train",
        "name": "b/8",
        "reason": "not an image format that Pillow knows",
    }
    assert document["emptied"] == ["c"]


def test_where_no_image_can_be_read_there_are_no_sizes():
    contents = profile_files(split({"a/0": b"", "a/1": b""}, ["a"]), None).contents
    assert (contents.shorter_side, contents.smallest) == (None, None)
    assert contents.emptied == ("a",)


def test_what_json_gets_names_the_copies():
    image = png(pixels(1)[0])
    document = profile_files(split({"a/0": image, "b/1": image}, ["a", "b"]), None).to_dict()
    assert json.loads(json.dumps(document)) == {
        "class_names": ["a", "b"],
        "train_counts": [1, 1],
        "test_counts": None,
        "n_max": 1,
        "n_min": 1,
        "imbalance_factor": 1.0,
        "largest_tenth": {"classes": 1, "share": 0.5},
        "groups": {
            "count": {"head": [], "mid": [], "tail": [0, 1]},
            "thirds": {"head": [0], "mid": [1], "tail": []},
        },
        "one_image": ["a", "b"],
        "fewer_than_20": ["a", "b"],
        "without_test": [],
        "contents": {
            "shorter_side": 32.0,
            "smallest": {"split": "train", "name": "a/0", "width": 32, "height": 32},
            "unreadable": [],
            "repeated": [
                [{"split": "train", "name": "a/0", "class": "a"}, {"split": "train", "name": "b/1", "class": "b"}]
            ],
            "emptied": [],
            "unusual": {},
        },
    }


def test_a_class_without_a_training_image_is_refused():
    train = split(numbered({"a": 2}), ["a", "b", "c"], "here/train")
    with pytest.raises(InputError, match="2 of 3 classes have no training image in here/train: 'b', 'c'; add some"):
        profile_files(train, None)


def test_the_benchmark_says_what_its_groups_are():
    train = split(numbered({"a": 3, "b": 1}), ["a", "b"])
    profile = profile_files(train, None, benchmark=NATURAL_BENCHMARKS["inat18"], quick=True)
    assert [groups.rule for groups in profile.groups] == ["count", "thirds"]
