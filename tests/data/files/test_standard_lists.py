"""ImageNet-LT and iNaturalist 2018: lists as they are handed out, and iNaturalist's own annotations."""

import json
from dataclasses import replace

import pytest

from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.data.files import DataLocation, check_coverage, check_present, open_files, standard_lists
from tests.data.files.trees import check_reader, content_of, opened, plant, refused

SMALL = {name: replace(benchmark, num_classes=3) for name, benchmark in NATURAL_BENCHMARKS.items()}
LISTS = {"imagenetlt": "ImageNet_LT_{}.txt", "inat18": "iNaturalist18_{}.txt"}
NUMBERS = ("0", "1", "2")


def write(root, name, split, *lines):
    path = root / name / LISTS[name].format(split)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return root


def small(root, split="train", class_names=None, name="imagenetlt", **location):
    return open_files(SMALL[name], split, DataLocation(root, **location), class_names)


TRAIN = ("train/n03/x 1.png 2", "train/n01/x.png 0", "train/n02/x.png 1", "train/n01/y.png 0")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_read_and_its_folders_name_the_classes(tmp_path, name):
    names = [line.rpartition(" ")[0] for line in TRAIN]
    plant(write(tmp_path, name, "train", *TRAIN) / name, *names)
    files = small(tmp_path, name=name)
    check_reader(files, names)
    check_present(files)
    check_coverage(files)
    assert (files.labels.tolist(), files.class_names) == ([2, 0, 1, 0], ("n01", "n02", "n03"))
    assert files.class_counts == (2, 1, 1)
    assert "".join(LISTS[name].format("train")) in files.origin


@pytest.mark.parametrize(
    "lines",
    [
        ("a.png 0", "b.png 1", "c.png 2"),
        ("x/a.png 0", "x/b.png 1", "y/c.png 2"),
        ("x/a.png 0", "y/b.png 1", "z/c.png 2", "w/d.png 2"),
        ("x/a.png 0", "y/b.png 1"),
    ],
)
def test_classes_without_a_folder_of_their_own_are_called_by_number(tmp_path, lines):
    assert small(write(tmp_path, "imagenetlt", "train", *lines)).class_names == NUMBERS


def test_other_splits_take_their_names_from_training(tmp_path):
    write(tmp_path, "imagenetlt", "train", *TRAIN)
    write(tmp_path, "imagenetlt", "val", "val/c.png 2", "val/a.png 0")
    write(tmp_path, "imagenetlt", "test", "val/n03/a.png 2", "val/n02/a.png 1")
    names = small(tmp_path).class_names
    assert content_of(small(tmp_path, "val", names)) == [("val/c.png", "n03"), ("val/a.png", "n01")]
    assert content_of(small(tmp_path, "test", names)) == [("val/n03/a.png", "n03"), ("val/n02/a.png", "n02")]
    refused(
        "classes have no test image in .*: 'n01'; add", check_coverage, small(tmp_path), small(tmp_path, "test", names)
    )


def test_lists_that_number_the_classes_in_two_ways_are_refused(tmp_path):
    write(tmp_path, "imagenetlt", "train", *TRAIN)
    write(tmp_path, "imagenetlt", "val", "val/n03/a.png 2", "val/n02/a.png 0")
    refused(
        "ImageNet_LT_val.txt calls val/n02/a.png class 0, but to the training list that folder is class 1; use lists",
        small,
        tmp_path,
        "val",
        small(tmp_path).class_names,
    )
    assert small(tmp_path, "val", NUMBERS).labels.tolist() == [2, 0]


def test_the_test_split_of_inaturalist_is_its_validation_list(tmp_path):
    write(tmp_path, "inat18", "val", "a.png 0", "b.png 2")
    val, test = (small(tmp_path, split, NUMBERS, "inat18") for split in ("val", "test"))
    assert content_of(val) == content_of(test) == [("a.png", "0"), ("b.png", "2")]
    assert val.layout == test.layout


def test_paths_are_relative_to_the_image_root(tmp_path):
    write(tmp_path / "lists", "imagenetlt", "train", "a.png 0", "b.png 1", "c.png 2")
    plant(tmp_path / "pictures", "a.png", "b.png", "c.png")
    refused("^3 of the 3 images .* --image-root", check_present, small(tmp_path / "lists"))
    check_present(small(tmp_path / "lists", image_root=tmp_path / "pictures"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("b.png", ", line 2 has no label"),
        (
            "b.png x",
            ", line 2: the label 'x' is not a whole number from 0 to 2; correct the line, or check that it is the",
        ),
        ("b.png 3", ", line 2: the label '3' is not a whole number from 0 to 2"),
        ("b.png -1", ", line 2: the label '-1' is no"),
        ("b.png 1.0", ", line 2: the label '1.0' is no"),
        ("b.png 1_0", ", line 2: the label '1_0' is no"),
        ("b.png ²", ", line 2: the label '²' is no"),
        ("b.png " + "9" * 5000, ", line 2: the label '9{40}' is no"),
        ("a.png 2", ", line 2: line 1 names a.png already"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, line, found):
    refused(f"ImageNet_LT_train.txt{found}", small, write(tmp_path, "imagenetlt", "train", "a.png 1", line, "c.png 3"))


def test_what_is_missing_is_named(tmp_path):
    refused(
        "^there is no .*imagenetlt/ImageNet_LT_test.txt; put it there, or name the folder above it as the data folder",
        small,
        tmp_path,
        "test",
    )
    refused("no .*inat18/iNaturalist18_val.txt nor .*inat18/val2018.json; put", small, tmp_path, "test", name="inat18")
    write(tmp_path, "imagenetlt", "train")
    refused("ImageNet_LT_train.txt lists no image", small, tmp_path)
    write(tmp_path, "imagenetlt", "train", "a/a.png 0", "b/b.png 1")
    refused("^1 of 3 classes have no training image in .*: '2'; add", check_coverage, small(tmp_path))
    refused("imagenetlt has 3 classes, not 2; use a model that fits", small, tmp_path, "train", ("a", "b"))


def test_the_benchmarks_have_as_many_classes_as_published(tmp_path):
    write(tmp_path, "imagenetlt", "train", "a.png 999")
    write(tmp_path, "inat18", "train", "a.png 8141")
    assert len(opened(tmp_path, benchmark="imagenetlt").class_names) == 1000
    assert len(opened(tmp_path, benchmark="inat18").class_names) == 8142
    write(tmp_path, "imagenetlt", "train", "a.png 1000")
    refused("not a whole number from 0 to 999", opened, tmp_path, benchmark="imagenetlt")
    assert [benchmark.train_images for benchmark in NATURAL_BENCHMARKS.values()] == [115_846, 437_513, None]
    assert set(standard_lists.STANDARD_LISTS) | {"imagefolder"} == set(NATURAL_BENCHMARKS)


IMAGES = [
    {"id": 7, "file_name": "train_val2018/Aves/2/é.png", "width": 4, "rights_holder": "me"},
    {"id": 3, "file_name": "train_val2018/Aves/0/b.png", "width": 4, "rights_holder": "me"},
    {"id": 5, "file_name": "train_val2018/Aves/1/c.png", "width": 4, "rights_holder": "me"},
]
ANNOTATIONS = [{"id": k, "image_id": image, "category_id": j} for k, (image, j) in enumerate(((3, 0), (5, 1), (7, 2)))]
CATEGORIES = [{"id": 1, "name": "Passer montanus"}, {"id": 0, "name": "Passer domesticus"}, {"id": 2, "name": "Anas"}]
WHOLE = {"info": {}, "images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES}


def annotate(root, document, name="train2018.json"):
    path = root / "inat18" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return root


def test_the_annotations_are_read_where_there_is_no_list(tmp_path):
    names = [image["file_name"] for image in IMAGES]
    plant(annotate(tmp_path, WHOLE) / "inat18", *names)
    files = small(tmp_path, name="inat18")
    check_reader(files, names)
    check_present(files)
    assert files.labels.tolist() == [2, 0, 1]
    assert files.class_names == ("Passer domesticus", "Passer montanus", "Anas")
    annotate(tmp_path, WHOLE, "val2018.json")
    assert small(tmp_path, "test", NUMBERS, "inat18").class_names == NUMBERS
    write(tmp_path, "inat18", "train", "x/a.png 0", "y/b.png 1", "z/c.png 2")
    assert small(tmp_path, name="inat18").class_names == ("x", "y", "z")


@pytest.mark.parametrize("categories", [[], CATEGORIES[:2], [{"id": j, "name": "same"} for j in range(3)]])
def test_categories_whose_names_do_not_tell_them_apart_are_called_by_number(tmp_path, categories):
    assert small(annotate(tmp_path, WHOLE | {"categories": categories}), name="inat18").class_names == NUMBERS


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ("", r"train2018.json cannot be read as iNaturalist's annotations \(.*\); fetch it again"),
        ("[]", "cannot be read as"),
        ("[" * 100_000, r"cannot be read as iNaturalist's annotations \(it is nested too deeply\); fetch it again"),
        ("{}", "cannot be read as"),
        (WHOLE | {"images": [{"id": 1}]}, "cannot be read as"),
        (WHOLE | {"images": [IMAGES[0] | {"file_name": 3}, *IMAGES[1:]]}, "cannot be read as|is no whole file"),
        (WHOLE | {"images": [IMAGES[0] | {"file_name": "\ud800.png"}, *IMAGES[1:]]}, "cannot be read as"),
        (WHOLE | {"images": [IMAGES[0] | {"file_name": "a\0.png"}, *IMAGES[1:]]}, r"'a\\x00.png' is no name"),
        (WHOLE | {"images": []}, "is not a complete annotation file: it names no image; fetch"),
        (WHOLE | {"images": IMAGES[:2]}, ": image 5 has no annotation, or the annotation no image"),
        (WHOLE | {"annotations": ANNOTATIONS[:2]}, ": image 7 has no annotation"),
        (WHOLE | {"images": [*IMAGES, IMAGES[0]]}, ": it has two images of the id 7"),
        (
            WHOLE | {"images": [*IMAGES, IMAGES[0] | {"id": 8}]},
            ": it has two images of the name train_val2018/Aves/2/é",
        ),
        (WHOLE | {"annotations": [*ANNOTATIONS, ANNOTATIONS[0]]}, ": it has two annotations of image 3"),
        (
            WHOLE | {"annotations": [ANNOTATIONS[0] | {"category_id": 3}, *ANNOTATIONS[1:]]},
            "image 3 is of category 3, which",
        ),
        (
            WHOLE | {"annotations": [ANNOTATIONS[0] | {"category_id": "0"}, *ANNOTATIONS[1:]]},
            "is of category '0', which",
        ),
    ],
)
def test_annotations_that_are_damaged_are_refused(tmp_path, document, found):
    refused(found, small, annotate(tmp_path, document), name="inat18")
