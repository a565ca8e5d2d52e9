"""Image folders and options that cannot be trained on: one line, and nothing is left."""

import shutil
from pathlib import Path

import pytest

from tests.train.folders import NAME, TRAIN, plant, plant_splits, refused, run


@pytest.fixture
def own(tmp_path) -> Path:
    """A training and a test split, which the test may change."""
    return plant_splits(tmp_path / "data")


def imagenet_list(root: Path, label: int) -> None:
    (root / "imagenetlt").mkdir(parents=True)
    lines = "".join(f"train/n{j:08}/a.JPEG {j}\n" for j in range(1000))
    (root / "imagenetlt" / "ImageNet_LT_train.txt").write_text(lines + f"train/x/b.JPEG {label}\n")


BAD = {
    "no folder": (lambda own: shutil.rmtree(own), (), "does not exist; name the folder or list of your images"),
    "nothing": (lambda own: [shutil.rmtree(own / split) for split in ("train", "val")], (), "holds neither train/"),
    "an empty training split": (
        lambda own: [shutil.rmtree(own / "train"), (own / "train").mkdir()],
        (),
        "train has no image; name another folder",
    ),
    "an empty test split": (
        lambda own: [shutil.rmtree(own / "val"), (own / "val").mkdir()],
        (),
        "val has no image; name another folder",
    ),
    "an empty class": (lambda own: (own / "train" / "dog").mkdir(), (), "have no image: dog; remove them"),
    "a class without test images": (
        lambda own: shutil.rmtree(own / "val" / "bee"),
        (),
        "1 of 3 classes have no test image in ",
    ),
    "a class without training images": (
        lambda own: shutil.rmtree(own / "train" / "bee"),
        (),
        "val has classes that training lacks: 'bee'; remove them",
    ),
    "training images alone": (
        lambda own: shutil.rmtree(own / "val"),
        (),
        "has only training images; add val/ or test/, or hold some out with --hold-out 0.1",
    ),
    "too many held out": (lambda own: None, ("--hold-out", "3"), "leave 1 class without a training image: 'cat'"),
    "an image gone": (
        lambda own: (own / "train.csv").write_text("image,label\ntrain/ant/0.png,ant\ntrain/ant/x.png,ant\n"),
        ("--hold-out", "1"),
        "1 of the 1 images of",
    ),
    "no such column": (
        lambda own: (own / "train.csv").write_text("image,label\ntrain/ant/0.png,ant\n"),
        ("--label-column", "species"),
        "species",
    ),
    "a label out of range": (
        lambda own: imagenet_list(own, 1000),
        ("--recipe", "resnet50_imagenetlt_ce_sgd"),
        "line 1001: the label '1000' is not a whole number from 0 to 999",
    ),
    "a label below 0": (
        lambda own: imagenet_list(own, -1),
        ("--recipe", "resnet50_imagenetlt_ce_sgd"),
        "line 1001: the label '-1' is not a whole number from 0 to 999",
    ),
    "no such policy": (lambda own: None, ("--aa", "nonsense"), "timm does not know the augmentation 'nonsense'"),
    "groups of other images": (lambda own: None, ("--set", "groups=mislas"), "'mislas' is not defined on imagefolder"),
    "a cache of nothing": (
        lambda own: None,
        ("--image-cache", "cache"),
        "give a size with --set input.shorter_side=256",
    ),
    "a subset": (lambda own: None, ("--subset", "x.json"), "--subset needs a balanced data set to choose from"),
    "a size that is none of the ViT's": (
        lambda own: None,
        ("--arch", "test_vit", "--img-size", "33"),
        "test_vit does not accept images of shape (3, 33, 33): Input height (33)",
    ),
    "too small a size": (
        lambda own: None,
        ("--arch", "test_maxvit", "--img-size", "8"),
        "test_maxvit does not accept images of shape (3, 8, 8): ",
    ),
    "one image in a batch": (lambda own: None, ("-b", "1"), "the last batch of an epoch has a single image"),
    "one image in a micro-batch": (
        lambda own: None,
        ("--micro-batches", "5"),
        "a micro-batch has a single image, and the model cannot be trained on one (",
    ),
    "no such architecture": (lambda own: None, ("--arch", "resnet7"), "architecture 'resnet7' is unknown to timm"),
    "a cosine classifier": (lambda own: None, ("--set", "head.name=cosine"), "test_resnet has no cosine classifier"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_trained_on_is_one_line_and_leaves_nothing(case, own, tmp_path, capsys):
    change, options, found = BAD[case]
    change(own)
    assert found in refused(capsys, own, tmp_path / "output", *options)
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("option", ["--output", "--image-cache"])
@pytest.mark.parametrize("where", ["output", "cat/output", "."])
def test_nothing_is_written_among_the_images(option, where, tmp_path, capsys):
    data = plant(tmp_path / "data", TRAIN)
    options = ("--hold-out", "1", "--set", "input.shorter_side=20", option, str(data / where))
    said = refused(capsys, data, tmp_path / "output", *options)
    assert said == f"{option} {data / where} is inside the image folder {data}; name a folder outside of it"
    assert not (data / where / NAME).exists()


def test_beside_the_splits_there_is_room(own):
    run(own, own / "output", "--epochs", "1")
    run(own, own / "output", "--epochs", "1", "--resume")
