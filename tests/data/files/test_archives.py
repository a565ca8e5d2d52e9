"""Images in tar files: what timm finds in them, webdataset's shards, and every way in which a tar file is broken."""

import io
import os
import tarfile

import numpy as np
import pytest
from timm.data.readers import create_reader

from ltzoo.data.files import check_coverage, check_present
from ltzoo.data.files.archives import read_shards, read_tar
from tests.data.files.test_folders import TREE
from tests.data.files.trees import check_reader, content_of, encoded, opened, refused


def pack(path, members, **options):
    """Write a tar file; a member's content is its image unless given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members.items() if isinstance(members, dict) else ((name, None) for name in members):
            content = encoded(name) if content is None else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_classes_labels_and_order_are_those_of_timm(tmp_path):
    path = pack(tmp_path / "train.tar", TREE)
    files, reader = read_tar(path, "innermost"), create_reader("", str(path))
    assert files.class_names == tuple(reader.class_name_to_idx)
    assert [files.name(k) for k in range(len(files))] == reader.filenames()
    assert files.labels.tolist() == reader.targets.tolist()
    check_reader(files, reader.filenames())
    check_present(files)


def test_what_stands_before_and_beside_the_images_does_not_matter(tmp_path):
    names = ["./cat/a.png", "./dog/b.JPG"]
    members = {"./": b"", "./notes.txt": b"x", **dict.fromkeys(names), "./empty/": b""}
    files = read_tar(pack(tmp_path / "train.tar", members, format=tarfile.PAX_FORMAT))
    assert content_of(files) == [("cat/a.png", "cat"), ("dog/b.JPG", "dog")]
    check_reader(files, names)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_is_read(tmp_path, format):
    names = ["é/ü.png", f"{'x' * 90}/{'y' * 60}.png"]
    check_reader(read_tar(pack(tmp_path / "train.tar", names, format=format)), [names[1], names[0]])


def test_a_rewritten_tar_file_has_another_stamp(tmp_path):
    path = pack(tmp_path / "train.tar", ["cat/a.png", "dog/b.png"])
    files = read_tar(path)
    before = files.stamped_layout()
    assert read_tar(path).stamped_layout() == before != files.chosen(np.array([1, 0])).stamped_layout()
    later = path.stat().st_mtime_ns + 1_000
    os.utime(path, ns=(later, later))
    assert read_tar(path).stamped_layout() != before and read_tar(path).layout == files.layout


def test_tar_files_are_splits(tmp_path):
    pack(tmp_path / "train.tar", ["cat/a.png", "dog/b.png"])
    pack(tmp_path / "val.tar", ["dog/c.png"])
    train = opened(tmp_path)
    test = opened(tmp_path, "test", train.class_names)
    assert content_of(test) == [("dog/c.png", "dog")]
    assert test.labels.tolist() == [1]
    refused("classes have no test image in .*val.tar: 'cat'", check_coverage, train, test)
    pack(tmp_path / "val.tar", ["Dog/c.png"])
    refused("val.tar has 'Dog', training has 'dog'", opened, tmp_path, "val", train.class_names)


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ([], "has no image"),
        (
            ["cat/a.txt"],
            r"has no image \(left out 1 file without .* \(1 .txt\): cat/a.txt\); check that it is the right",
        ),
        (["a.png"], "a.png of .* is not in a class folder"),
        (["cat/a.png", "Cat/a.png"], "the class folders 'cat' and 'Cat' of .* differ only in case|'Cat' and 'cat'"),
        (["cat/train/a.png", "cat/test/b.png"], "train.tar holds cat/test/ and cat/train/; splits come first, as in"),
        (["cat/a.png", "./cat/a.png"], "has cat/a.png twice; pack the tar file again"),
    ],
)
def test_a_tar_file_without_classes_is_refused(tmp_path, members, found):
    refused(found, read_tar, pack(tmp_path / "train.tar", members))


def test_classes_are_named_by_the_first_folder_or_by_the_innermost(tmp_path):
    path = pack(tmp_path / "train.tar", ["cat/2019/a.png", "dog/2019/a.png", "dog/b.png"])
    files = read_tar(path)
    assert files.class_names == ("cat", "dog") and files.class_counts == (1, 2)
    assert (
        len(files.notes) == 1 and "--class-folder innermost takes the innermost, of which there are 2" in files.notes[0]
    )
    refused("^cat/2019 and dog/2019 of .*train.tar have the same name", read_tar, path, "innermost")


def test_what_is_left_out_of_a_tar_file_is_told(tmp_path):
    names = ["cat/a.jfif", "cat/._a.jfif", "__MACOSX/cat/._a.jfif", "cat/@eaDir/a.jfif/M.jpg", "cat/@eaDir/b/M.jpg"]
    path = pack(tmp_path / "train.tar", [*names, "cat/a.heic", "readme.txt"])
    files = read_tar(path)
    assert content_of(files) == [("cat/a.jfif", "cat")]
    assert files.notes == (
        f"{path}: left out 2 folders made by a system or a program; rename one that is a class: __MACOSX, cat/@eaDir",
        f"{path}: left out 1 hidden file: cat/._a.jfif",
        f"{path}: left out 2 files without the suffix of an image (1 .heic, 1 .txt): cat/a.heic, readme.txt",
    )


def test_a_link_is_named(tmp_path):
    path = pack(tmp_path / "train.tar", ["cat/a.png"])
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("cat/b.png")
        info.type, info.linkname = tarfile.LNKTYPE, "cat/a.png"
        archive.addfile(info)
    refused("cat/b.png of .* is a link or has holes; pack .* tar --dereference --hard-dereference", read_tar, path)


def test_a_damaged_tar_file_is_refused_wherever_it_is_damaged(tmp_path):
    path = pack(tmp_path / "train.tar", [f"cat/{k}.png" for k in range(6)])
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        headers = [member.offset for member in archive]
        end = archive.offset
    cuts = [100, *(at for offset in headers for at in (offset, offset + 100, offset + 512, offset + 520)), end]
    for cut in cuts:
        path.write_bytes(whole[:cut])
        refused("train.tar (cannot be read as a tar file without compression|is damaged or cut short)", read_tar, path)
    for offset in headers:
        path.write_bytes(whole[:offset] + b"\1" * 300 + whole[offset + 300 :])
        refused("train.tar (cannot be read as a tar file without compression|is damaged or cut short)", read_tar, path)
    path.write_bytes(b"no tar file" * 1000)
    refused("cannot be read as a tar file without compression", read_tar, path)
    with tarfile.open(path, "w:gz"):
        pass
    refused("cannot be read as a tar file without compression .*; download or pack it again", read_tar, path)


def test_timm_reads_a_damaged_tar_file_as_a_shorter_one(tmp_path):
    """Why timm's reader is not used: what comes after the damaged header is missing, without an error."""
    path = pack(tmp_path / "train.tar", [f"cat/{k}.png" for k in range(6)])
    assert len(create_reader("", str(path))) == 6
    with tarfile.open(path) as archive:
        offset = archive.getmembers()[3].offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\1" * 300)
    assert len(create_reader("", str(path))) == 3
    refused("train.tar is damaged or cut short at byte", read_tar, path)


def test_timm_takes_a_shard_for_images_without_classes(tmp_path):
    """Why timm's tar reader is not used for WebDataset; its WebDataset reader cannot read by index."""
    path = pack(tmp_path / "train-0.tar", {"a.png": None, "a.cls": b"1", "b.png": None, "b.cls": b"0"})
    assert create_reader("", str(path)).targets.tolist() == [0, 0]
    assert read_shards([path]).labels.tolist() == [1, 0]


def test_an_image_behind_the_end_of_a_file_that_has_shrunk_is_named(tmp_path):
    path = pack(tmp_path / "train.tar", ["cat/a.png"])
    files = read_tar(path)
    path.write_bytes(path.read_bytes()[:520])
    refused(r"cat/a.png of .*train.tar cannot be read \(the tar file ends before it does\)", files.content, 0)
    path.unlink()
    refused(r"cat/a.png of .*train.tar cannot be read \(No such file or directory\)", files.content, 0)


def test_shards_are_read_at_random(tmp_path):
    pack(tmp_path / "train-10.tar", {"s/c.JPG": None, "s/c.cls": b"3"})
    pack(
        tmp_path / "train-9.tar",
        {
            "b.png": None,
            "b.json": b"{}",
            "b.mask.png": b"x",
            "b.cls": b"10\n",
            "._b.png": b"",
            "a.cls": b" 3",
            "a.png": None,
        },
    )
    pack(tmp_path / "val-0.tar", {"b.png": None, "b.cls": b"10"})
    train = opened(tmp_path)
    assert content_of(train) == [("train-9.tar/b.png", "10"), ("train-9.tar/a.png", "3"), ("train-10.tar/s/c.JPG", "3")]
    assert train.class_names == ("3", "10")
    check_reader(train, ["b.png", "a.png", "s/c.JPG"])
    assert train.origin == str(tmp_path / "train-*.tar")
    assert content_of(opened(tmp_path, "test", train.class_names)) == [("val-0.tar/b.png", "10")]


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"a.txt": b"x"}, "train-\\*.tar have no image with a class; a WebDataset shard has KEY.jpg and KEY.cls"),
        ({"a.png": None}, "train-0.tar has a.png, but no .cls of that key; write the shard again"),
        ({"a.png": None, "a.cls": b"1", "b.cls": b"1"}, "has b.cls, but no image of that key"),
        ({"a.png": None, "a.jpg": None, "a.cls": b"1"}, "has a.png and a.jpg; remove one of them"),
        ({"a.png": None, "./a.png": None, "a.cls": b"1"}, "has a.png twice"),
        ({"a.png": None, "a.cls": b"\xff"}, "train-0.tar has a .cls that is not UTF-8 text"),
        ({"a.png": None, "a.cls": b" "}, "the class name '' of .* has 0 characters"),
        (
            {"a.png": None, "a.cls": b"X", "b.png": None, "b.cls": b"x"},
            "the labels 'X' and 'x' of .* differ only in case",
        ),
        ({"a.png": None, "a.cls": b"1", "b.png": None, "b.cls": b"01"}, "writes the label 1 in two ways, '1' and '01'"),
    ],
)
def test_shards_that_do_not_say_every_class_are_refused(tmp_path, members, found):
    refused(found, read_shards, [pack(tmp_path / "train-0.tar", members)])


def test_a_split_is_a_tar_file_or_shards(tmp_path):
    pack(tmp_path / "train.tar", ["cat/a.png"])
    pack(tmp_path / "train-0.tar", {"a.png": None, "a.cls": b"1"})
    refused(r"train-\*.tar and train.tar, which are the same split", opened, tmp_path)
