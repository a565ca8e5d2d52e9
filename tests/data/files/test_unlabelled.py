"""Images without labels: from paths, folders and lists."""

import os

import pytest

from ltzoo.data.files import find_unlabelled
from tests.data.files.trees import check_reader, plant, refused


@pytest.fixture
def photos(tmp_path):
    return plant(tmp_path / "photos", "a10.jpg", "a9.jpg", "deep/er/b.png", "notes.txt", ".hidden.jpg", "@eaDir/a9.jpg")


def names(files):
    return [files.name(k) for k in range(len(files))]


def test_images_folders_and_lists_come_in_the_order_in_which_they_are_named(photos, tmp_path):
    (photos / "list.txt").write_text("deep/er/b.png\n\n  \na9.jpg\n")
    files = find_unlabelled([photos / "a10.jpg", photos / "list.txt", photos])
    expected = [f"{photos}/{name}" for name in ("a10.jpg", "deep/er/b.png", "a9.jpg")]
    assert names(files) == expected
    assert (files.labels.tolist(), files.class_names) == ([0, 0, 0], ("unknown",))
    check_reader(files, ["a10.jpg", "deep/er/b.png", "a9.jpg"])


def test_a_folder_is_sorted_naturally_and_what_is_left_out_is_said(photos):
    files = find_unlabelled([photos])
    assert names(files) == [f"{photos}/{name}" for name in ("a9.jpg", "a10.jpg", "deep/er/b.png")]
    assert [note.partition("left out ")[2][:13] for note in files.notes] == [
        "1 folder made",
        "1 hidden file",
        "1 file withou",
    ]


def test_a_folder_that_is_reached_twice_is_read_once(photos):
    (photos / "deep" / "loop").symlink_to(photos)
    assert len(find_unlabelled([photos])) == 3


def test_a_table_has_a_column_of_paths(photos, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text('label,photo\n0,"a9"\n1,deep/../a10\n')
    files = find_unlabelled([table], photos, "photo", ".jpg")
    assert names(files) == [f"{photos}/a9.jpg", f"{photos}/deep/../a10.jpg"]


def test_names_that_are_not_unicode_are_found(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    plant(tmp_path, "x.jpg")
    try:
        (tmp_path / "x.jpg").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system has names in Unicode alone")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    assert names(find_unlabelled([tmp_path / "list.txt"])) == names(find_unlabelled([tmp_path]))


def test_wrong_places_are_one_line(photos, tmp_path):
    refused("nothing does not exist; name images, folders or lists", find_unlabelled, [photos / "nothing"])
    plant(tmp_path / "empty", "notes.txt")
    refused("has no image .left out 1 file", find_unlabelled, [tmp_path / "empty"])
    refused("the folder .*nowhere is not there", find_unlabelled, [photos], tmp_path / "nowhere")
    refused("--image-root is for paths in lists, and no list is given", find_unlabelled, [photos], photos)
    refused("--image-suffix is for paths in lists", find_unlabelled, [photos], None, "image", ".jpg")
    refused(
        "--image-column is for lists in .csv, and none is given; leave it out", find_unlabelled, [photos], None, "x"
    )
    refused("--image-column is for lists", find_unlabelled, [photos / "list.txt"], None, "x")


def test_a_folder_called_like_a_list_is_a_folder(tmp_path):
    folder = tmp_path / "x.csv"
    plant(folder, "a.jpg")
    assert len(find_unlabelled([folder])) == 1
    refused("--image-root is for paths in lists, and no list is given", find_unlabelled, [folder], folder)
    refused("--image-suffix is for paths in lists", find_unlabelled, [folder], None, "image", ".jpg")
    refused("--image-column is for lists in .csv", find_unlabelled, [folder], None, "x")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("l.txt", "", "lists no image"),
        ("l.txt", "a9\n", "names 'a9', which has no suffix of an image; add --image-suffix .jpg or the like, or check"),
        ("l.txt", "/etc/passwd\n", "names '/etc/passwd', which has no suffix of an image"),
        (
            "l.txt",
            "a9.png\n",
            "1 of the 1 images of .* do not exist, .*a9.jpg is there: correct the suffix in the list",
        ),
        ("l.txt", f"{'x' * 300}.jpg\n", "1 of the 1 images of .* do not exist"),
        ("l.txt", "a9.jpg\na\0.jpg\n", "the list is not text"),
        ("l.csv", "path\na9.jpg\n", "must have one column 'image', its columns are 'path'; name it with --image-col"),
        ("l.csv", "image,label\na9.jpg\n", "line 2 has no image, or other cells than the header"),
        ("l.csv", 'image\n"a9.jpg\n', "cannot be read"),
        ("l.csv", "", "its columns are none"),
    ],
)
def test_wrong_lists_are_one_line(name, text, found, photos):
    (photos / name).write_text(text)
    refused(found, find_unlabelled, [photos / name])
