"""Classes that one split has and another lacks, whatever they are called there."""

import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from ltzoo.data.files import ImageFiles, check_coverage, hold_out_files, profile_files
from ltzoo.data.files.classes import aligned, by_label, check_names, natural_key
from tests.data.files.trees import opened, plant, refused

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def split(labels, class_names, origin):
    return ImageFiles(None, np.arange(len(labels)), np.array(labels, dtype=np.int64), tuple(class_names), origin)


def test_a_split_is_numbered_as_training_is():
    files = aligned(split([0, 1, 1], ["dog", "cat"], "val"), ("cat", "cow", "dog"))
    assert (files.labels.tolist(), files.class_names) == ([2, 0, 0], ("cat", "cow", "dog"))
    assert files.labels.dtype == np.int64


def test_a_class_that_has_no_image_need_not_be_known():
    assert aligned(split([0], ["cat", "emu"], "val"), ("cat",)).class_counts == (1,)


@pytest.mark.parametrize(
    ("own", "found"),
    [
        (["emu"], "^val has classes that training lacks: 'emu'; remove them, or train on them too"),
        ([*"abcdef"], "'a', 'b', 'c', 'd', 'e', ...; remove"),
        (["cat"], "^val has 'cat', training has 'Cat': they differ only in case; write"),
        ([NFD], r"^val has 'cafe\\u0301', training has 'caf\\xe9': they differ only in the way Unicode writes them"),
        ([NFD.upper()], "training has 'café': they differ only in case"),
        (["07"], "val has '07', training has '7': they differ only in zeros"),
        (["emu", "cat"], "val has 'cat', training has 'Cat'"),
    ],
)
def test_a_class_that_training_lacks_is_named_with_its_twin(own, found):
    refused(found, aligned, split(range(len(own)), own, "val"), ("Cat", NFC, "7"))


def test_every_class_has_images_to_train_and_to_measure_on():
    names = [*"abcdefg"]
    whole = split(range(7), names, "train")
    check_coverage(whole)
    check_coverage(whole, split([*range(7)] * 2, names, "test"))
    refused(
        "^1 of 7 classes have no training image in train: 'g'; add",
        check_coverage,
        split(range(6), names, "train"),
        whole,
    )
    refused(
        "^6 of 7 classes have no test image in test: 'b', 'c', 'd', 'e', 'f', ...; add",
        check_coverage,
        whole,
        split([0], names, "test"),
    )
    refused("the classes of test are not those of train", check_coverage, whole, split([0], ["a"], "test"))


@pytest.mark.parametrize("split_folder", ["", "train/"])
def test_a_data_set_with_one_class_is_refused(tmp_path, split_folder):
    plant(tmp_path, f"{split_folder}images/1.png", f"{split_folder}images/2.png")
    refused(
        "has only the class 'images', but training needs at least two; add images of another class, or name another",
        check_coverage,
        opened(tmp_path),
    )
    plant(tmp_path, "labels.csv", "readme.md", *(["val.csv"] if split_folder else []))
    refused(
        "'images', but training needs at least two; .*/labels.csv is there: name it instead of the folder$",
        check_coverage,
        opened(tmp_path),
    )
    plant(tmp_path, "more.TXT")
    refused("/labels.csv, .*/more.TXT are there: name", check_coverage, opened(tmp_path))
    check_coverage(None, opened(tmp_path))  # a model of one class, whoever made it
    profile_files(opened(tmp_path), None, quick=True)


def test_a_list_of_one_class_is_refused_too(tmp_path):
    (tmp_path / "list.txt").write_text("1.png cat\n2.png cat\n")
    refused(
        "list.txt has only the class 'cat', but training needs at least two; add",
        check_coverage,
        opened(tmp_path / "list.txt"),
    )


def of_lists(root, train, test):
    (root / "train.txt").write_text("".join(f"{name} {name[0]}\n" for name in train))
    (root / "test.txt").write_text("".join(f"{name} {name[0]}\n" for name in test))
    files = opened(root)
    return files, opened(root, "test", files.class_names)


def test_a_file_is_in_one_split_alone(tmp_path):
    train, test = of_lists(tmp_path, ["a/1", "b/2", "b/3", "a/4"], ["a/5", "a/4", "b/2", "b/6"])
    refused(
        "^2 of the 4 images of .*test.txt are also in .*train.txt, the first is b/2; keep each in one of the two$",
        check_coverage,
        train,
        test,
    )
    check_coverage(train, test.chosen(np.array([0, 3])))
    check_coverage(train.chosen(np.array([0, 2])), test)
    check_coverage(train, replace(test, reader=replace(test.reader, root=str(tmp_path / "other"))))
    check_coverage(*hold_out_files(train, 1))


def test_labels_that_are_numbers_are_sorted_as_numbers():
    assert by_label(["10", "9", "-1", "0"], "list") == ["-1", "0", "9", "10"]
    assert by_label(["b10", "B9", "a"], "list") == ["a", "B9", "b10"]
    refused("list writes the label 1 in two ways, '1' and '01'; write it in one", by_label, ["1", "2", "01"], "list")
    assert by_label(["9" * 5000, "1"], "list") == ["1", "9" * 5000]  # no number that Python converts
    refused("has 5000 characters, not 1 to 255", check_names, ["9" * 5000], "list")
    refused("the class name '' of list has 0 characters", check_names, [""], "list")


def test_letters_that_are_joined_by_invisible_ones_are_names():
    check_names(["می‌خواهم", "👩‍🔬", "a\u00a0b"], "list")
    assert natural_key("A2") < natural_key("a10")
