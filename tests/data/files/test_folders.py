"""Folders of class folders: the classes and the order that timm gives, and what timm passes over."""

import os
import sys
import unicodedata

import pytest
from timm.data.readers import create_reader

from ltzoo.data.files import check_coverage, check_present
from ltzoo.data.files.folders import read_folder
from tests.data.files.trees import check_reader, content_of, opened, plant, refused

TREE = (
    "cat/10.jpg",
    "cat/9.PNG",
    "Dog/a.JPEG",
    "class10/x1.png",
    "class9/x.jpg",
    "class9/sub dir/y.jpg",
    "éclair/ü.png",
)


def test_classes_labels_and_order_are_those_of_timm(tmp_path):
    files, reader = read_folder(plant(tmp_path, *TREE)), create_reader("", str(tmp_path))
    assert files.class_names == tuple(reader.class_to_idx) == ("cat", "class9", "class10", "Dog", "sub dir", "éclair")
    assert [files.name(k) for k in range(len(files))] == reader.filenames()
    assert files.labels.tolist() == [label for _, label in reader.samples]
    check_reader(files, reader.filenames())


def test_more_kinds_of_images_are_read_than_timm_reads(tmp_path):
    names = ["cat/a.bmp", "cat/b.WEBP", "cat/c.tif"]
    check_reader(read_folder(plant(tmp_path, *names, "cat/notes.txt")), names)


def test_what_timm_leaves_to_chance_is_in_order(tmp_path, monkeypatch):
    plant(tmp_path, "1/a.png", "01/A.png", "1/A.png", "001/b.png")
    walk = os.walk
    orders = []
    for step in (1, -1):
        listing = [(root, below[::step], files[::step]) for root, below, files in walk(tmp_path)]
        monkeypatch.setattr(os, "walk", lambda *_, listing=listing, **__: iter(listing))
        files = read_folder(tmp_path)
        orders.append((files.class_names, content_of(files)))
    assert orders[0] == orders[1]
    assert orders[0][0] == ("001", "01", "1")


def test_a_digit_that_is_no_number_is_a_letter(tmp_path):
    assert read_folder(plant(tmp_path, "5²/a.png", "①/b.png")).class_names == ("5²", "①")


def test_a_name_that_is_no_text_is_read_and_escaped_where_it_is_shown(tmp_path):
    name = b"caf\xe9\n.png".decode("utf-8", "surrogateescape")
    files = read_folder(plant(tmp_path, f"cat/{name}"))
    check_reader(files, [f"cat/{name}"])
    (tmp_path / "cat" / name).unlink()
    refused(r"'cat/caf\\udce9\\n.png' of .* cannot be read", files.content, 0)
    refused(r"'.*caf\\udce9\\n.png'; add", check_present, files)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), "has no image"),
        (("cat/x.txt",), r"has no image \(.bmp, .jpeg, .jpg, .*--data-dir"),
        (("a.png", "cat/a.png"), "^a.png of .* is not in a class folder; move it"),
        (("cat/a.png", "dog/"), "1 class folders of .* have no image: dog; remove"),
        (("cat/a.png", "dog/x.txt", "emu/"), "2 class folders of .* have no image: dog, emu; remove"),
        (
            ("cat/a.png", "cat/.ipynb_checkpoints/a.png"),
            "cat/.ipynb_checkpoints of .* has images but is not a class folder; rem",
        ),
        (("cat/a.png", ".hidden/dog/a.png"), ".hidden/dog of"),
        (("cat/a.png", "__MACOSX/cat/._a.png"), "__MACOSX/cat of"),
        (("Cat/a.png", "cat/b.png"), "the class folders 'Cat' and 'cat' of .* differ only in case, .* merge or rename"),
        (("STRASSE/a.png", "straße/b.png"), "differ only in case"),
        (
            (unicodedata.normalize("NFC", "é/a.png"), unicodedata.normalize("NFD", "é/b.png")),
            r"'e\\u0301' and '\\xe9' of .* differ only in the way Unicode writes them",
        ),
        (
            ("cat/2019/a.png", "dog/2019/a.png", "dog/2020/a.png"),
            "^cat/2019 and dog/2019 of .* have the same name, which alone is the class",
        ),
        (("cat/a.png", "pets/cat/b.png"), "^cat and pets/cat of .* have the same name"),
        (("caf\udce9/a.png",), r"the class name 'caf\\udce9' of .* is not valid UTF-8; rename it"),
        (("a\nb/a.png",), r"the class name 'a\\nb' of .* has control characters; rename it"),
    ],
)
def test_what_is_no_class_is_named(tmp_path, names, found):
    refused(found, read_folder, plant(tmp_path, *names))


def test_hidden_folders_without_images_do_not_count(tmp_path):
    assert read_folder(plant(tmp_path, "cat/a.png", ".cache/", ".git/x.txt")).class_names == ("cat",)


def test_a_folder_is_not_taken_twice(tmp_path):
    plant(tmp_path, "cat/a.png")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    refused("cat/loop is the same folder as .*, through a link; remove the link", read_folder, tmp_path)
    (tmp_path / "cat" / "loop").unlink()
    plant(tmp_path / "elsewhere", "b.png")
    (tmp_path / "elsewhere").rename(tmp_path.parent / f"{tmp_path.name}-dog")
    (tmp_path / "dog").symlink_to(tmp_path.parent / f"{tmp_path.name}-dog")
    assert content_of(read_folder(tmp_path)) == [("cat/a.png", "cat"), ("dog/b.png", "dog")]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path):
    plant(tmp_path, "cat/a.png", "dog/a.png")
    (tmp_path / "dog").chmod(0)
    refused("dog cannot be listed", read_folder, tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    plant(tmp_path, "cat/a.png", "dog/a.png")
    scandir = os.scandir

    def deny(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    refused(r"dog cannot be listed \(Permission denied\); make it readable", read_folder, tmp_path)


@pytest.mark.parametrize(
    ("others", "val", "test"),
    [
        (("val", "test"), "val", "test"),
        (("validation", "test"), "validation", "test"),
        (("val",), "val", "val"),
        (("validation",), "validation", "validation"),
        (("test",), "test", "test"),
        ((), None, None),
    ],
)
def test_splits_and_what_serves_in_their_place(tmp_path, others, val, test):
    for split in ("train", *others):
        plant(tmp_path / split, f"cat/{split}.png", f"dog/{split}.png")
    names = opened(tmp_path).class_names
    assert content_of(opened(tmp_path)) == [("cat/train.png", "cat"), ("dog/train.png", "dog")]
    for split, expected in (("val", val), ("test", test)):
        files = opened(tmp_path, split, names)
        assert (files and content_of(files)) == (
            expected and [(f"cat/{expected}.png", "cat"), (f"dog/{expected}.png", "dog")]
        )
        if files:
            check_coverage(opened(tmp_path), files)
            assert files.origin == str(tmp_path / expected)


def test_a_test_split_is_numbered_as_training_is(tmp_path):
    plant(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "test/c/1.png", "test/a/1.png")
    test = opened(tmp_path, "test", ("c", "b", "a"))
    assert (test.labels.tolist(), test.class_names) == ([2, 0], ("c", "b", "a"))
    assert opened(tmp_path, "test").class_names == ("a", "c")


def test_class_folders_alone_are_the_training_split(tmp_path):
    plant(tmp_path, "cat/a.png", "dog/a.png")
    assert opened(tmp_path).class_names == ("cat", "dog")
    assert opened(tmp_path, "val") is opened(tmp_path, "test") is None


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (("notes.txt", "a.png"), "train", "holds neither train/, train.csv, .* nor class folders; name another"),
        (("Train/cat/a.png", "Test/cat/a.png"), "train", "holds T.*, but splits are called train, val, .*; rename it"),
        (("train/cat/a.png", "valid/cat/a.png"), "train", "holds valid, but splits"),
        (("train/cat/a.png", "Testing.csv"), "val", "holds Testing.csv, but splits"),
        (
            ("train/cat/a.png", "val/cat/a.png", "validation/cat/a.png"),
            "train",
            "val/ and validation/, which are the same",
        ),
        (("train/cat/a.png", "train.tar"), "train", "train.tar and train/, which are the same split; remove"),
        (("train.csv", "train.TXT"), "train", "train.TXT and train.csv, which are the same split"),
        (("val/cat/a.png",), "train", "has no split train, only val; name one that has"),
    ],
)
def test_a_folder_whose_splits_are_not_clear_is_refused(tmp_path, names, split, found):
    refused(found, opened, plant(tmp_path, *names), split)


def test_a_place_that_does_not_exist_is_named(tmp_path):
    refused("nowhere does not exist; name a folder or a list with --data-dir", opened, tmp_path / "nowhere")
    refused("a.png is neither a folder nor a list", opened, plant(tmp_path, "a.png") / "a.png")
    refused("the folder .*/none is not there; .* --image-root", opened, tmp_path, image_root=tmp_path / "none")
    plant(tmp_path, "train/cat/a.png")
    refused("train is not a list, and --image-root is", opened, tmp_path, image_root=tmp_path)
    refused("train is not a list, and --image-root is", opened, tmp_path / "train", image_root=tmp_path)
