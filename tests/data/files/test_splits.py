"""Splits of a data folder: which folder or file each one is, what serves in its place, and what is refused."""

import pytest

from ltzoo.data.files import check_coverage
from tests.data.files.trees import content_of, opened, plant, refused


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
        (
            ("a.png",),
            "train",
            "holds neither train/, train.csv, .* nor class folders; it holds 1 image: make a folder for",
        ),
        (("notes.md", "b.pdf"), "train", "nor class folders; it holds b.pdf, notes.md; name another data folder"),
        (
            ("a.png", "labels.txt"),
            "train",
            "nor class folders; .*/labels.txt is there: name that list instead of the folder",
        ),
        ((), "train", "nor class folders; it is empty; name another data folder"),
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
    refused(found, opened, plant(tmp_path / "photos", *names), split)


def test_a_column_is_refused_where_there_is_no_table(tmp_path):
    plant(tmp_path, "a/train/cat/1.png", "a/train/dog/1.png", "b/cat/1.png", "b/dog/1.png", "c/x.png")
    (tmp_path / "c" / "train.txt").write_text("x.png cat\n")
    said = "has no table of a split .*, and --label-column names a column of one; leave it out, or name a table"
    for place in ("a", "b", "c", "c/train.txt"):
        refused(said, opened, tmp_path / place, label_column="species")
    refused("--image-column names a column", opened, tmp_path / "a", image_column="file")
    plant(tmp_path / "d", "x.png", "labels.csv")
    refused("labels.csv is there: name that list instead", opened, tmp_path / "d", label_column="species")
    (tmp_path / "a" / "val.csv").write_text("image,species\ntrain/cat/1.png,cat\n")
    assert opened(tmp_path / "a", "val", ("cat", "dog"), label_column="species").labels.tolist() == [0]
    assert len(opened(tmp_path / "a", label_column="species")) == 2  # the other split is a table


def test_a_place_that_does_not_exist_is_named(tmp_path):
    refused("nowhere does not exist; name the folder or list of your images", opened, tmp_path / "nowhere")
    refused("a.png is neither a folder nor a list", opened, plant(tmp_path, "a.png") / "a.png")
    refused("the folder .*/none is not there; .* --image-root", opened, tmp_path, image_root=tmp_path / "none")
    plant(tmp_path, "train/cat/a.png")
    refused("train is not a list, and --image-root is", opened, tmp_path, image_root=tmp_path)
    refused("train is not a list, and --image-root is", opened, tmp_path / "train", image_root=tmp_path)
