"""Folders of class folders: the classes and the order that timm gives, and what timm passes over."""

import os
import re
import sys
import unicodedata

import pytest
from PIL import Image
from timm.data.readers import create_reader
from timm.data.readers.img_extensions import add_img_extensions, del_img_extensions
from torchvision.datasets import ImageFolder

from ltzoo.data.files import check_present
from ltzoo.data.files.folders import read_folder
from ltzoo.data.files.left_out import image_suffixes
from tests.data.files.trees import check_reader, content_of, encoded, opened, plant, refused

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
    files, reader = read_folder(plant(tmp_path, *TREE), "innermost"), create_reader("", str(tmp_path))
    assert files.class_names == tuple(reader.class_to_idx) == ("cat", "class9", "class10", "Dog", "sub dir", "éclair")
    assert [files.name(k) for k in range(len(files))] == reader.filenames()
    assert files.labels.tolist() == [label for _, label in reader.samples]
    check_reader(files, reader.filenames())


def test_the_first_folder_is_the_class_as_in_torchvision(tmp_path):
    plant(tmp_path, *TREE)
    files, other = read_folder(tmp_path), ImageFolder(tmp_path)
    assert sorted(files.class_names) == other.classes
    assert sorted(content_of(files)) == sorted(
        (os.path.relpath(path, tmp_path), other.classes[label]) for path, label in other.samples
    )
    assert files.notes == (
        f"{tmp_path}: images lie in folders below class folders (class9/sub dir); the first folder is the class, so "
        "there are 5; --class-folder innermost takes the innermost, of which there are 6",
    )
    (note,) = read_folder(tmp_path, "innermost").notes
    assert "the innermost folder is the class, so there are 6; --class-folder first takes the first, of which" in note
    assert opened(tmp_path, class_folder="innermost").class_names == read_folder(tmp_path, "innermost").class_names


def test_classes_of_the_other_reading_are_recognised(tmp_path):
    plant(tmp_path, *[f"{split}/{name}/a.png" for split in ("train", "val") for name in ("pets/cat", "pets/dog")])
    assert opened(tmp_path, "val", ("cat", "dog"), class_folder="innermost").class_counts == (1, 1)
    refused("lacks: 'pets'; .*; or try --class-folder innermost$", opened, tmp_path, "val", ("cat", "dog"))
    refused("lacks: 'cat', 'dog'; .* first$", opened, tmp_path, "val", ("pets",), class_folder="innermost")


def test_sessions_of_one_name_belong_to_their_classes(tmp_path):
    files = read_folder(plant(tmp_path, "cat/2019/a.png", "dog/2019/a.png", "dog/2020/a.png"))
    assert files.class_names == ("cat", "dog") and files.class_counts == (1, 2)


def test_whatever_pillow_reads_is_an_image(tmp_path):
    suffixes = ["bmp", "WEBP", "tif", "jfif", "jpe", "gif", "avif", "jp2", "tga", "ico", "qoi", "psd", "mpo", "apng"]
    names = sorted(f"cat/a{k:02}.{suffix}" for k, suffix in enumerate(suffixes))
    files = read_folder(plant(tmp_path, *names))
    check_reader(files, names)
    assert files.notes == ()
    assert image_suffixes().isdisjoint({".eps", ".fits", ".mpg", ".h5", ".pdf", ".wmf", ".txt", ""})


def test_a_suffix_that_a_plug_in_or_a_user_adds_counts(tmp_path, monkeypatch):
    plant(tmp_path, "cat/a.heic", "cat/b.raw", "cat/c.png")
    monkeypatch.setitem(Image.EXTENSION, ".heic", "PNG")
    add_img_extensions(".raw")
    try:
        assert len(read_folder(tmp_path)) == 3
    finally:
        del_img_extensions(".raw")
    assert len(read_folder(tmp_path)) == 2


def test_every_file_that_is_left_out_is_counted_and_the_first_are_named(tmp_path):
    plant(tmp_path, "cat/a.png", "cat/._a.png", "cat/.DS_Store", *[f"cat/{k}.heic" for k in range(5)])
    for k in range(4):
        (tmp_path / "cat" / f"notes{k}.txt").write_text("no image")
    (tmp_path / "cat" / "without").write_bytes(encoded("x.png"))
    (tmp_path / "readme.md").write_text("no image")
    os.mkfifo(tmp_path / "cat" / "pipe.fifo")
    (tmp_path / "cat" / "0.heic").write_bytes(b"\0\0\0\x18ftypheic")
    hidden, others = read_folder(tmp_path).notes
    assert hidden == f"{tmp_path}: left out 2 hidden files: cat/.DS_Store, cat/._a.png"
    assert others.startswith(
        f"{tmp_path}: left out 12 files without the suffix of an image "
        "(5 .heic, 4 .txt, 1 .fifo, 1 .md, 1 without any): "
    )
    assert ", ...; cat/" in others and re.search(
        " is (JPEG|PNG): rename such files, so that they end in .(jpg|png)$", others
    )


def test_folders_that_programs_made_are_left_out_and_named(tmp_path):
    made = ("@eaDir", "#recycle", ".thumbnails", ".ipynb_checkpoints", "__MACOSX", "$RECYCLE.BIN", "@Recycle")
    made += ("lost+found", "System Volume Information", ".@__thumb", "#snapshot", "a.png")
    plant(
        tmp_path,
        "cat/a.png",
        *[f"{folder}/x.png" for folder in made],
        *[f"cat/{folder}/x/y.png" for folder in made[:-1]],
    )
    files = read_folder(tmp_path)
    assert content_of(files) == [("cat/a.png", "cat")]
    (note,) = files.notes
    assert note.startswith(
        f"{tmp_path}: left out 23 folders made by a system or a program; rename one that is a class: "
    )
    tidy = plant(
        tmp_path / "tidy", *[f"{name}/a.png" for name in ("$", "$5", "#", "@", "__other__", "_x", "C#", "Nr. 1")]
    )
    assert len(read_folder(tidy).class_names) == 8 and read_folder(tidy).notes == ()


def test_the_thumbnails_of_a_photo_are_no_class(tmp_path):
    plant(tmp_path, *[f"{name}/{k}.jpg" for name in ("cat", "dog") for k in range(3)])
    plant(tmp_path, *[f"{name}/@eaDir/0.jpg/SYNOPHOTO_THUMB_{size}.jpg" for name in ("cat", "dog") for size in "XM"])
    for level in ("first", "innermost"):
        files = read_folder(tmp_path, level)
        assert (files.class_names, files.class_counts) == (("cat", "dog"), (3, 3))
        assert files.notes[0].endswith("; rename one that is a class: cat/@eaDir, dog/@eaDir")


def test_smaller_images_under_the_same_names_are_thumbnails(tmp_path):
    sizes = {
        **{f"cat/{k}.png": (40, 30) for k in range(4)},
        **{f"cat/small/{k}.jpg": (6, 8) for k in range(3)},  # turned upright
        **{f"cat/thumbs/{k}.jpg": (8, 6) for k in range(3)},
        "dog/0.png": (40, 30),
        "dog/thumbs/0.jpg": (9, 7),
        "dog/crops/0.png": (10, 10),
        "dog/kitchen/0.png": (40, 30),
        "dog/park/7.png": (8, 6),
    }
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(tmp_path / name)
    files = read_folder(tmp_path)
    kept = [name for name in sizes if name.split("/")[1] not in ("small", "thumbs")]
    assert sorted(name for name, _ in content_of(files)) == sorted(kept)
    assert files.notes[0] == (
        f"{tmp_path}: left out 3 folders made by a system or a program; rename one that is a class: "
        "cat/small, cat/thumbs, dog/thumbs"
    )


def test_a_folder_of_the_file_system_that_may_not_be_listed_is_left_out(tmp_path, monkeypatch):
    plant(tmp_path, "cat/a.png", "lost+found/")
    scandir = os.scandir

    def deny(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    assert read_folder(tmp_path).class_names == ("cat",)


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
    refused(r"^cat/caf\\udce9\\n.png of .* cannot be read", files.content, 0)
    refused(r"caf\\udce9\\n.png; add", check_present, files)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((), "has no image"),
        (
            ("cat/x.txt",),
            r"has no image \(left out 1 file without .* \(1 .txt\): cat/x.txt\); name another folder",
        ),
        (("cat/.x.png",), r"has no image \(left out 1 hidden file: cat/.x.png\); name another folder"),
        (("a.png", "cat/a.png"), "^a.png of .* is not in a class folder; move it"),
        (("cat/a.png", "dog/"), "1 class folders of .* have no image: dog; remove"),
        (("cat/a.png", "dog/x.txt", "emu/"), r"2 class folders of .* have no image: dog \(but 1 .txt\), emu; remove"),
        (("cat/a.png", "dog/x/y.txt"), r"1 class folders of .* have no image: dog \(but 1 .txt\); remove"),
        (("cat/a.png", "dog/@eaDir/a.png/M.jpg"), r"1 class folders of .* have no image: dog \(but @eaDir/\); remove"),
        (("cat/a.png", "a\x1bb/"), r"1 class folders of .* have no image: a\\x1bb; remove"),
        (("a.png", "b.png", "cat/a.png"), "^a.png, b.png of .* are in no class folder; move them"),
        (("cat/train/a.png", "cat/test/b.png", "dog/train/a.png"), "holds cat/test/ and cat/train/; splits come first"),
        (
            ("photos/train/cat/a.png", "photos/test/cat/b.png"),
            "holds photos/test/ and photos/train/; name .*/photos as the data folder",
        ),
        (("Cat/a.png", "cat/b.png"), "the class folders 'Cat' and 'cat' of .* differ only in case, .* merge or rename"),
        (("STRASSE/a.png", "straße/b.png"), "differ only in case"),
        (
            (unicodedata.normalize("NFC", "é/a.png"), unicodedata.normalize("NFD", "é/b.png")),
            r"'e\\u0301' and '\\xe9' of .* differ only in the way Unicode writes them",
        ),
        (("caf\udce9/a.png",), r"the class name 'caf\\udce9' of .* is not valid UTF-8; rename it"),
        (("a\nb/a.png",), r"the class name 'a\\nb' of .* has control characters; rename it"),
    ],
)
def test_what_is_no_class_is_named(tmp_path, names, found):
    refused(found, read_folder, plant(tmp_path, *names))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            ("cat/2019/a.png", "dog/2019/a.png", "dog/2020/a.png"),
            "^cat/2019 and dog/2019 of .* have the same name, which alone is the class",
        ),
        (("cat/a.png", "pets/cat/b.png"), "^cat and pets/cat of .* have the same name"),
        (
            ("cat/a.png", "pets/dog/x.txt", "pets/emu/"),
            r"2 class folders .*: pets/dog \(but 1 .txt\), pets/emu; remove",
        ),
    ],
)
def test_what_is_no_innermost_class_is_named(tmp_path, names, found):
    refused(found, read_folder, plant(tmp_path, *names), "innermost")


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
