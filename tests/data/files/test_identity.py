"""A file is the same however its path is written, linked or mounted; two files with one content are two files."""

import os

import numpy as np
import pytest

from ltzoo.data.files import check_coverage, hold_out_files, shared_files
from ltzoo.data.files.archives import read_tar
from ltzoo.data.files.folders import read_folder
from tests.data.files.test_archives import pack
from tests.data.files.trees import opened, plant, refused


def shared_names(one, two):
    return [(one.name(here), two.name(there)) for here, there in shared_files(one, two)]


@pytest.fixture
def train(tmp_path):
    return read_folder(plant(tmp_path / "train", "cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png"))


def linked(root, where, link):
    plant(root / "test", "cat/x.png", "dog/y.png", "dog/z.png")
    (root / "test" / "cat" / "b.png").parent.mkdir(exist_ok=True)
    link(root / "train" / "cat" / "b.png", root / "test" / "cat" / "k.png")
    return read_folder(root / where)


LINKS = {
    "symbolic": lambda old, new: new.symlink_to(old),
    "relative": lambda old, new: new.symlink_to(os.path.relpath(old, new.parent)),
    "hard": lambda old, new: new.hardlink_to(old),
    "two links": lambda old, new: (new.with_name("w").symlink_to(old), new.symlink_to("w")),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_linked_file_is_the_same(train, tmp_path, kind):
    test = linked(tmp_path, "test", LINKS[kind])
    assert shared_names(train, test) == [("cat/b.png", "cat/k.png")]
    assert shared_names(test, train) == [("cat/k.png", "cat/b.png")]
    refused(
        "^1 of the 4 images of .*/test are also in .*/train, the first is cat/b.png, which is cat/k.png there; keep",
        check_coverage,
        train,
        test,
    )


def test_a_copy_is_another_file(train, tmp_path):
    test = linked(tmp_path, "test", lambda old, new: new.write_bytes(old.read_bytes()))
    assert shared_files(train, test) == []
    check_coverage(train, test)


def test_a_linked_folder_holds_the_same_files(train, tmp_path):
    (tmp_path / "test").symlink_to(tmp_path / "train")
    assert len(shared_files(train, read_folder(tmp_path / "test"))) == 4
    plant(tmp_path / "other", "dog/x.png")
    (tmp_path / "other" / "cat").symlink_to(tmp_path / "train" / "cat")
    assert shared_names(train, read_folder(tmp_path / "other")) == [("cat/a.png",) * 2, ("cat/b.png",) * 2]


def test_lists_may_write_a_path_in_any_way(tmp_path, monkeypatch):
    plant(tmp_path / "photos", "cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png")
    monkeypatch.chdir(tmp_path / "photos")
    lists = plant(tmp_path / "lists")
    (lists / "train.txt").write_text("../photos/cat/a.png cat\n../photos/dog/c.png dog\n")
    ways = (f"{tmp_path}/photos/cat/a.png", "../photos/cat/../cat/a.png", "../lists/../photos/cat/a.png")
    train = opened(lists)
    for way in ways:
        (lists / "test.txt").write_text(f"../photos/dog/d.png dog\n{way} cat\n")
        test = opened(lists, "test", train.class_names)
        assert shared_names(train, test) == [("../photos/cat/a.png", way)]
        refused("^1 of the 2 images of .*test.txt are also in", check_coverage, train, test)
    (lists / "test.txt").write_text("cat/a.png cat\ndog/d.png dog\n")
    test = opened(lists, "test", train.class_names, image_root=tmp_path / "photos")
    assert shared_names(train, test) == [("../photos/cat/a.png", "cat/a.png")]


def test_file_systems_that_number_all_files_alike_mislead_nobody(train, tmp_path, monkeypatch):
    test = linked(tmp_path, "test", LINKS["hard"])
    scandir = os.scandir

    class Entry:
        def __init__(self, entry):
            self.name, self.is_symlink = entry.name, entry.is_symlink

        def inode(self):
            return 0xFFFFFFFF  # FUSE's "unknown"

    class Listing:
        def __init__(self, path):
            self.path = path

        def __enter__(self):
            with scandir(self.path) as entries:
                return [Entry(entry) for entry in entries]

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Listing)
    assert shared_names(train, test) == [("cat/b.png", "cat/k.png")]


def test_files_that_are_not_there_are_compared_by_path(tmp_path):
    for name, lines in (("train", "a/1 a\nb/2 b\n"), ("test", "b/2 b\na/3 a\n")):
        (tmp_path / f"{name}.txt").write_text(lines)
    train = opened(tmp_path)
    assert shared_names(train, opened(tmp_path, "test", train.class_names)) == [("b/2", "b/2")]


def test_links_within_a_class_are_kept_but_not_measured_on(tmp_path):
    plant(tmp_path, "cat/a.png", "dog/b.png", "dog/c.png")
    for k in range(3):
        (tmp_path / "cat" / f"again{k}.png").symlink_to("a.png")
    files = read_folder(tmp_path)
    assert files.class_counts == (4, 2)
    refused(
        r"^1 of the 2 images held out of .* would be trained on too: cat/a\w*.png and cat/a\w*.png are one file; ",
        check_coverage,
        *hold_out_files(files, 1),
    )


def test_a_linked_tar_file_is_the_same(tmp_path):
    path = pack(tmp_path / "train.tar", ["cat/a.png", "dog/b.png"])
    (tmp_path / "test.tar").symlink_to(path)
    (tmp_path / "val.tar").hardlink_to(path)
    train = opened(tmp_path)
    for split in ("test", "val"):
        same = opened(tmp_path, split, train.class_names)
        refused(
            "^2 of the 2 images of .* are also in .*train.tar, the first is cat/a.png; keep",
            check_coverage,
            train,
            same,
        )
    assert shared_files(train, read_tar(pack(tmp_path / "more.tar", ["cat/a.png", "dog/b.png"]))) == []
    assert shared_files(train.chosen(np.array([0])), train.chosen(np.array([1]))) == []
    assert shared_files(train, read_folder(plant(tmp_path / "photos", "cat/a.png", "dog/b.png"))) == []
