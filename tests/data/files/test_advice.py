"""What is said where images are not as expected follows from what lies there."""

import re
from pathlib import Path

import pytest

from ltzoo.data.files import check_coverage, check_present, where_test_is
from ltzoo.data.files.advice import where_classes_are, where_image_is, where_splits_are
from tests.data.files.trees import check_reader, opened, plant, refused

LISTED = "photos/cat/a.jpg"


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        ("ids/i1.jpg", "ids/i1", "ids/i1.jpg is there: the list lacks the suffix; add --image-suffix .jpg$"),
        ("ids/i1.JPEG", "ids/i1", "ids/i1.JPEG is there: the list lacks the suffix; add --image-suffix .JPEG$"),
        ("ids/i1.5.png", "ids/i1.5", "the list lacks the suffix; add --image-suffix .png$"),
        ("cat/a.png", "cat/a.jpg", "cat/a.png is there: correct the suffix in the list$"),
        ("cat/a.JPG", "cat/a.jpg", "cat/a.JPG is there: (correct the suffix|write the name)"),
        ("cat/B.jpg", "cat/b.jpg", "cat/B.jpg is there: write the name in the list as that of the file$"),
        ("cat/a.jpg", r"cat\a.jpg", "the list has Windows' backslashes; write / in their place$"),
        ("images/i1.jpg", "i1", "images/i1.jpg is there: add --image-root .*/images --image-suffix .jpg$"),
        ("images/cat/a.jpg", "cat/a.jpg", "images/cat/a.jpg is there: add --image-root .*/images$"),
        (
            "cat/a.jpg",
            "/home/me/photos/cat/a.jpg",
            "cat/a.jpg is there: shorten the paths .* to cat/a.jpg and the like, and",
        ),
        ("cat/a.jpg", r"C:\photos\cat\a.jpg", "cat/a.jpg is there: shorten the paths in the list to cat/a.jpg"),
        (
            "cat/b.jpg",
            "dog/a.jpg",
            "there is no folder .*/dog; add it, or name what paths start from with --image-root$",
        ),
        ("cat/b.jpg", "cat/a.jpg", "^add them, or name their folder with --image-root$"),
        ("cat/b.txt", "cat/b", "^add them"),
    ],
)
def test_a_missing_image_is_looked_for(tmp_path, there, name, found):
    root = tmp_path / "root"
    path = root / "list.csv"
    plant(root, there)
    path.write_text(f"image,label\n{name},cat\n")
    refused(
        f"^1 of the 1 images of .*list.csv do not exist, the first is .*; .*{found.removeprefix('^')}",
        check_present,
        opened(path),
    )
    assert where_image_is(root, name)


def test_an_image_beside_the_folder_of_the_list_is_found(tmp_path):
    plant(tmp_path / "images", "a.jpg")
    (tmp_path / "lists").mkdir()
    assert where_image_is(tmp_path / "lists", "a.jpg").endswith(
        f"/images/a.jpg is there: add --image-root {tmp_path}/images"
    )


def test_ids_without_a_suffix_are_read_with_the_suffix_that_is_named(tmp_path):
    names = [f"images/{k}.jpg" for k in range(4)]
    plant(tmp_path, *names)
    rows = "".join(f"images/{k},{'nv' if k < 2 else 'mel'}\n" for k in range(4))
    (tmp_path / "table.csv").write_text(f"image,label\n{rows}")
    (tmp_path / "list.txt").write_text(rows.replace(",", " "))
    for path in (tmp_path / "table.csv", tmp_path / "list.txt"):
        files = opened(path, image_suffix=".jpg")
        check_present(files)
        check_reader(files, names)
        assert files.class_names == ("mel", "nv") and files.labels.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ({"image_suffix": ".jpg"}, "photos is not a list, and --image-suffix is for names in lists; leave it out"),
        ({"image_root": "."}, "photos is not a list, and --image-root is for paths in lists; leave it out"),
    ],
)
def test_an_option_without_effect_is_refused(tmp_path, place, found):
    plant(tmp_path / "photos", "cat/a.png")
    refused(
        found,
        opened,
        tmp_path / "photos",
        **{key: tmp_path / value if value == "." else value for key, value in place.items()},
    )
    (tmp_path / "list.txt").write_text("a.png cat\n")
    refused(
        "list.txt has no class folders, and --class-folder is for those",
        opened,
        tmp_path / "list.txt",
        class_folder="innermost",
    )
    refused("hfds/a/b has no class folders", opened, Path("hfds/a/b"), class_folder="innermost")
    refused(
        "--class-folder is for images of your own, not for inat18",
        opened,
        tmp_path,
        benchmark="inat18",
        class_folder="innermost",
    )


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (
            "photos/train/cat/a.png photos/test/cat/b.png",
            "holds photos/test/ and photos/train/; name .*/photos as the data folder",
        ),
        ("photos/cat/a.png photos/dog/b.png", "the folders cat, dog: .* name .*data/photos as the data folder$"),
        ("train/all/cat/a.png train/all/dog/b.png", "if these are the classes, add --class-folder innermost$"),
        ("cat/a.png", "add images of another class, or name another data folder$"),
    ],
)
def test_a_folder_one_level_off_is_seen(tmp_path, there, found):
    plant(tmp_path / "data", *there.split())
    refused(found, lambda: check_coverage(opened(tmp_path / "data")))


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (
            ("cat/a.png", "dog/b.png"),
            "^it holds 1 image, as the folders beside it do: if each is a class, name .* as the data folder",
        ),
        (("cat/a.png", "dog/b.txt"), "^it holds 1 image: make a folder for each class, or name a list of images"),
        (("cat/a.png", "cat/labels.csv"), "^.*cat/labels.csv is there: name that list instead of the folder$"),
        (("cat/a.md", "cat/.b"), "^it holds a.md; name another data folder$"),
        (("cat/",), "^it is empty; name another data folder$"),
    ],
)
def test_a_folder_without_classes_is_looked_into(tmp_path, there, found):
    plant(tmp_path / "photos", *there)
    assert re.search(found, where_classes_are(tmp_path / "photos" / "cat"))


def test_a_test_split_beside_the_training_split_is_seen(tmp_path):
    plant(tmp_path, "photos/train/cat/a.png", "photos/validation/cat/b.png", "photos/more/c.png")
    assert where_test_is(tmp_path / "photos" / "train") == (
        f"validation/ lies beside it: name {tmp_path}/photos as the data folder"
    )
    assert where_test_is(tmp_path / "photos") is where_test_is(tmp_path / "none") is None
    assert where_splits_are(tmp_path / "none") is None


def test_what_lies_beside_the_splits_is_told(tmp_path):
    plant(tmp_path, "train/cat/a.png", "test/cat/b.png", "val/cat/c.png", "extra/d.png", ".git/e.png", "labels.txt")
    (tmp_path / "more.tar").write_bytes(b"")
    (note,) = opened(tmp_path).notes
    assert note == f"{tmp_path}: not read: no split has such a name: extra/, labels.txt, more.tar"
    assert opened(tmp_path / "train").notes == ()
