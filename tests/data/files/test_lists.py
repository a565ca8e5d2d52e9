"""Lists and tables: what is read, in which order, and every line that is wrong."""

import pytest

from ltzoo.data.files import check_coverage, check_present
from ltzoo.data.files.image_files import Names
from ltzoo.data.files.lists import read_list
from tests.data.files.trees import check_reader, content_of, opened, plant, refused


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_names_are_kept_as_they_are():
    texts = ["", "a/b c.png", "é/ü.jpg", "\udce9/x", "x"]
    names = Names.of_texts(texts)
    assert len(names) == 5
    assert [names[k] for k in range(5)] == texts
    assert [*names.folders()] == [b"", b"a", "é".encode(), b"\xe9", b""]
    assert len(Names.of([])) == 0


LINES = ["b/x y.jpg cat", "a/1.jpg\tdog ", "", "./a//2.jpg  cat", "  ", "é/ü.png  übel", "../up/3.jpg dog"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_a_list_is_read_in_its_order(tmp_path, end, mark, last):
    path = write(tmp_path / "list.txt", mark + end.join(LINES) + last)
    assert content_of(opened(path)) == [
        ("b/x y.jpg", "cat"),
        ("a/1.jpg", "dog"),
        ("a/2.jpg", "cat"),
        ("é/ü.png", "übel"),
        ("../up/3.jpg", "dog"),
    ]
    assert opened(path, "test") is None


@pytest.mark.parametrize("name", ["list.txt", "LIST.TXT", "table.csv", "table.CSV"])
def test_the_images_of_a_list_are_read(tmp_path, name):
    names = ["a/1.png", "b/2 x.jpg", "a/é.jpg"]
    rows = [f"{image} {k % 2}" if "t." in name.lower() else f"{image},{k % 2}" for k, image in enumerate(names)]
    head = [] if "t." in name.lower() else ["image,label"]
    path = write(plant(tmp_path, *names) / name, "\n".join(head + rows))
    files = opened(path)
    check_reader(files, names)
    check_present(files)
    assert (files.class_names, files.labels.tolist(), files.origin) == (("0", "1"), [0, 1, 0], str(path))


def test_paths_are_relative_to_the_root_that_is_named(tmp_path):
    plant(tmp_path / "pictures", "1.png", "2.png")
    path = write(tmp_path / "lists" / "train.txt", f"1.png a\n2.png b\n{tmp_path}/pictures/../pictures/1.png a")
    refused("^2 of the 3 images of .*train.txt do not exist, the first is .*lists/1.png;", check_present, opened(path))
    files = opened(path, image_root=tmp_path / "pictures")
    check_present(files)
    check_reader(files.chosen([0, 1]), ["1.png", "2.png"])


def test_missing_images_are_counted_and_the_first_is_named(tmp_path):
    root = tmp_path / "root"  # no other test's images lie beside it
    plant(root, "a/1.png", "a/3.png", "b/4.png", "folder.png/")
    (root / "a" / "broken.png").symlink_to(root / "none")
    (root / "a" / "link.png").symlink_to(root / "a" / "1.png")
    names = [
        "a/1.png",
        "a/link.png",
        "a/2.png",
        "c/3.png",
        "a/broken.png",
        "folder.png",
        "b/4.png",
        "a/3.png/x",
        "a\ufffd",
    ]
    files = opened(write(root / "l.txt", "\n".join(f"{name} x" for name in names)))
    refused(
        "^6 of the 9 images of .*l.txt do not exist, the first is .*/a/2.png; add them, .* --image-root",
        check_present,
        files,
    )
    check_present(files.chosen([0, 1, 6]))
    refused("^a/broken.png of .*l.txt cannot be read", files.content, 4)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "lists no image; check that it is the right list"),
        ("\n \n", "lists no image"),
        ("a.jpg 1\nb.jpg\n", ", line 2 has no label; each line is a path, a space and a label"),
        ("a.jpg 1\n\nb.jpg 2\na.jpg 1", ", line 4: line 1 names a.jpg already; remove one of the two"),
        ("a.jpg 1\n./a.jpg 2", ", line 2: line 1 names a.jpg already"),
        (b"caf\xe9.jpg 1\ncaf\xe9.jpg 1", r"line 1 names caf\\udce9.jpg already"),
        (b"a.jpg caf\xe9", r"the class name 'caf\\udce9' of .* is not valid UTF-8; rename it"),
        (
            "a.jpg Cat\nb.jpg cat",
            "the labels 'Cat' and 'cat' of .*l.txt differ only in case, and would be two classes; wr",
        ),
        (
            "a.jpg caf\u00e9\nb.jpg cafe\u0301",
            r"'cafe\\u0301' and 'caf\\xe9' of .* differ only in the way Unicode writes",
        ),
        ("a.jpg 1\nb.jpg 01", "writes the label 1 in two ways, '1' and '01'"),
        ("a.jpg 1".encode("utf-16"), ", line 1: this is not UTF-8 text; save the list as UTF-8"),
        ("a.jpg " + "x" * 300, "the class name 'x{40}' of .* has 300 characters, not 1 to 255"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, text, found):
    refused(found, opened, write(tmp_path / "l.txt", text))


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    refused("the list .*none.txt cannot be read", read_list, tmp_path / "none.txt")
    (tmp_path / "x.txt").mkdir()
    refused("the list .*x.txt cannot be read", read_list, tmp_path / "x.txt")


def test_a_name_that_is_no_utf_8_is_read(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    plant(tmp_path, name)
    files = opened(write(tmp_path / "l.txt", b"caf\xe9.png x\n"))
    check_present(files)
    check_reader(files, [name])


def test_numeric_labels_of_a_list_are_sorted_as_numbers(tmp_path):
    lines = [f"train_val2018/Insecta/{k % 20}/{k:032x}.jpg {k % 20}" for k in range(40)]
    files = opened(write(tmp_path / "l.txt", "\n".join(lines)))
    assert files.class_counts == (2,) * 20
    assert files.class_names == tuple(map(str, range(20)))
    assert files.name(39) == lines[-1].split()[0]


TABLE = 'extra,image,label,split\n1,"a, b.png", cat ,train\n\n2,"x.png",Dog,val\n3,y.png,cat,test\n4,z.png,Dog,train\n'


def test_a_table_has_columns_and_splits(tmp_path):
    path = write(tmp_path / "t.csv", "\ufeff" + TABLE)
    assert content_of(opened(path)) == [("a, b.png", "cat"), ("z.png", "Dog")]
    assert content_of(opened(path, "val", ("Dog", "cat"))) == [("x.png", "Dog")]
    assert content_of(opened(path, "test", ("Dog", "cat"))) == [("y.png", "cat")]
    assert opened(path, "test", ("Dog", "cat")).labels.tolist() == [1]
    assert opened(path, "test").origin == f"{path}, split test"
    write(path, TABLE.replace("test", "train"))
    assert content_of(opened(path, "test", ("Dog", "cat"))) == [("x.png", "Dog")]
    write(path, TABLE.replace("val", "train").replace("test", "validation"))
    assert content_of(opened(path, "test", ("Dog", "cat"))) == [("y.png", "cat")]


def test_the_columns_are_named(tmp_path):
    path = write(tmp_path / "t.csv", "image_id, diagnosis\r\na.png, nevus\r\nb.png, melanoma\r\n")
    files = opened(path, image_column="image_id", label_column="diagnosis")
    assert content_of(files) == [("a.png", "nevus"), ("b.png", "melanoma")]
    assert files.class_names == ("melanoma", "nevus")
    assert opened(path, "val", image_column="image_id", label_column="diagnosis") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "has no column 'image', its columns are none; name one with --image-column"),
        ("image,label\n", "lists no image"),
        ("file;label\na;b\n", "has no column 'image', its columns are 'file;label'; name one with --image-column"),
        ("image,class\na,b\n", "has no column 'label', its columns are 'image', 'class'; name one with --label-column"),
        ("image,label,label\na,b,c\n", "has more than one column 'label'"),
        ("image,label\na.png,x\nb.png\n", ", line 3 has 1 cells, not 2; correct the line"),
        ("image,label\na,b.png,x\n", ", line 2 has 3 cells, not 2"),
        ("image,label\na.png, \n", ", line 2 has no label; correct or remove the line"),
        ("image,label\n,x\n", ", line 2 has no image; correct"),
        ("image,label\na.png,x\n\nb.png,y\na.png,x\n", ", line 5: line 2 names a.png already"),
        ('image,label\n"a.png,x\n', "the table .* cannot be read .*; check that it is CSV in UTF-8"),
        ("image,label\né.png,x\n".encode("latin-1"), "cannot be read .*; check that it is CSV in UTF-8"),
        (
            "image,label,split\na.png,x,dev\n",
            "puts a.png into the split 'dev'; splits are called train, val, validation",
        ),
        ("image,label,split\na.png,x,\n", "puts a.png into the split ''; splits"),
        ("image,label,split\na,x,val\nb,x,validation\n", "writes the split val in two ways, val and validation; write"),
        ("image,label,split\na,x,train\nb,X,val\n", "the labels 'X' and 'x' of .*t.csv differ only in case"),
        ("image,label,split\na,x,val\n", "has no split train, only val; name one that has"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path, text, found):
    refused(found, opened, write(tmp_path / "t.csv", text))


@pytest.mark.parametrize("kind", ["txt", "csv"])
def test_lists_in_a_folder_are_its_splits_and_come_before_folders(tmp_path, kind):
    def entries(*names):
        joint, head = {"txt": (" ", []), "csv": (",", ["image,label"])}[kind]
        return "\n".join(head + [f"{name}{joint}{name[0]}" for name in names])

    plant(tmp_path, "train/a1.png", "train/b1.png", "val/a2.png")
    write(tmp_path / f"train.{kind}", entries("a1.png", "b1.png"))
    write(tmp_path / f"validation.{kind}", entries("a2.png"))
    train = opened(tmp_path, image_root=tmp_path / "train")
    assert content_of(train) == [("a1.png", "a"), ("b1.png", "b")]
    check_present(train)
    test = opened(tmp_path, "test", train.class_names, image_root=tmp_path / "val")
    assert content_of(test) == [("a2.png", "a")]
    check_present(test)
    refused("^1 of 2 classes have no test image in .*validation.* 'b'; add", check_coverage, train, test)


def test_a_list_whose_name_and_column_name_two_splits_is_refused(tmp_path):
    write(tmp_path / "train.csv", "image,label,split\na.png,x,train\nb.png,x,test\n")
    refused("train.csv puts b.png into the split 'test'; correct it, or name this one file", opened, tmp_path)
    write(tmp_path / "train.csv", "image,label,split\na.png,x,train\n")
    assert len(opened(tmp_path)) == 1


def test_a_class_in_other_letters_is_named_in_lists_too(tmp_path):
    write(tmp_path / "train.txt", "1.png Cat\n3.png dog")
    write(tmp_path / "val.txt", "4.png DOG")
    names = opened(tmp_path).class_names
    assert names == ("Cat", "dog")
    refused("val.txt has 'DOG', training has 'dog'", opened, tmp_path, "val", names)
