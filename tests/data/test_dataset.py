"""A benchmark as a torch data set, against what the trainer loads."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import PILToTensor

from ltzoo.data import NATURAL_BENCHMARKS, ModelInput, all_groups, get_benchmark, make_groups
from ltzoo.data.batches import Delivery, make_eval_batches
from ltzoo.data.dataset import create_dataset
from ltzoo.data.files import DataLocation, open_files
from ltzoo.data.memory import load_held_out, load_test, load_train
from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions
from ltzoo.train.images import load_images
from ltzoo.train.start import find_start
from tests.data.conftest import TINY, pixels, png
from tests.train.folders import plant_splits

DIGITS = get_benchmark("digitslt")
CPU = torch.device("cpu")


def test_the_training_set_is_the_benchmarks_subset(tmp_path):
    images, subset = load_train(DIGITS, "cao", tmp_path)
    found = create_dataset("digitslt", tmp_path)
    assert len(found) == sum(DIGITS.class_counts) == 438
    assert found.class_counts == DIGITS.class_counts
    assert np.bincount(found.targets).tolist() == list(DIGITS.class_counts)
    assert found.subset.sha256 == subset.sha256
    assert found[5][1] == int(images.labels[5])


def test_without_a_transform_images_are_pils(tmp_path):
    images, _ = load_train(DIGITS, "cao", tmp_path)
    image, label = create_dataset("digitslt", tmp_path, transform=None)[5]
    assert (image.size, image.mode, label) == ((16, 16), "L", int(images.labels[5]))
    assert np.array_equal(np.asarray(image), images.images[5, :, :, 0])


def pixels_of(data):
    images, labels = zip(*(data[k] for k in range(len(data))), strict=True)
    return torch.stack(images), torch.tensor(labels)


def of_batches(batches):
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return images, labels


@pytest.mark.parametrize("split", ["train", "test"])
def test_digits_are_by_default_the_pixels_that_are_measured_on_bit_for_bit(split, tmp_path):
    stored = load_test(DIGITS, tmp_path) if split == "test" else load_train(DIGITS, "cao", tmp_path)[0]
    expected, labels = of_batches(make_eval_batches(stored, DIGITS.data_set, Delivery(CPU)))
    found, targets = pixels_of(create_dataset("digitslt", tmp_path, split))
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert torch.equal(targets, labels)


def test_cifars_are_by_default_the_pixels_that_are_measured_on_bit_for_bit(write_parquet, monkeypatch):
    benchmark = TINY["cifar10"]
    monkeypatch.setattr("ltzoo.data.dataset.get_benchmark", lambda name: benchmark)
    folder = write_parquet([([png(image) for image in pixels(10)], list(range(10)))], split="test")
    expected, _ = of_batches(make_eval_batches(load_test(benchmark, folder), benchmark.data_set, Delivery(CPU)))
    found, _ = pixels_of(create_dataset("tiny_cifar10", folder, "test"))
    assert found.shape == (10, 3, 32, 32)
    assert torch.equal(found, expected)


def test_a_loader_gives_the_test_set_in_order(tmp_path):
    whole = load_test(DIGITS, tmp_path)
    loader = DataLoader(create_dataset("digitslt", tmp_path, "test", transform=PILToTensor()), batch_size=64)
    images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    assert torch.equal(images, whole.images.permute(0, 3, 1, 2))
    assert torch.equal(labels, whole.labels)


def test_the_images_can_be_named_by_a_file_or_by_another_rule(tmp_path):
    first = create_dataset("digitslt", tmp_path, subset="first")
    assert first.subset.sha256 != create_dataset("digitslt", tmp_path).subset.sha256
    for file in ("subset.json", "subset", "subset.txt"):
        (tmp_path / file).write_text(json.dumps(first.subset.to_dict()))
    for path in (tmp_path / "subset.json", tmp_path / "subset", str(tmp_path / "subset.txt")):
        assert create_dataset("digitslt", tmp_path, subset=path).subset.sha256 == first.subset.sha256


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"name": "digits"}, "no benchmark is called 'digits'; the nearest are digitslt"),
        ({"split": "val"}, "the splits train and test, and held_out with hold_out, not 'val'"),
        ({"split": "held_out"}, "the images that hold_out leaves out of train; give hold_out"),
        ({"data_dir": "there"}, "and data_dir is there; give one of them"),
        ({"root": "data", "data_dir": "there"}, "root is data and data_dir is there; give one of them"),
        ({"hold_out": 0.5}, "hold_out must be a whole number of images per class for digitslt, not 0.5"),
        ({"hold_out": 0}, "at least 1 image per class must be held out, not 0"),
        ({"subset": "last"}, "no subset rule is called 'last'"),
        ({"subset": "none.json"}, "none.json is missing or not a subset file"),
        ({"transform": "train"}, "no transform is called 'train'; choose 'eval', None for PIL images, or a callable"),
        ({"pretrained_cfg": {}}, "digitslt has its own image size and normalisation; leave pretrained_cfg out"),
    ],
)
def test_bad_arguments_are_refused(arguments, found, tmp_path):
    with pytest.raises(InputError, match=found):
        create_dataset(**{"name": "digitslt", "root": tmp_path} | arguments)


@pytest.fixture
def photos(tmp_path):
    """Two classes in folders: 3 + 1 training and 1 + 2 validation images of several sizes."""
    for split, counts in (("train", {"ape": 3, "bee": 1}), ("val", {"ape": 1, "bee": 2})):
        for name, count in counts.items():
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(pixels(1, seed=number + len(split), side=40)[0][: 20 + 9 * number])
                image.save(tmp_path / split / name / f"{number}.png")
    return tmp_path


CFG = {
    "input_size": (3, 24, 24),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_pct": 0.9,
    "interpolation": "bicubic",
}


def test_images_in_files_are_a_data_set_too(photos):
    train, test = (create_dataset("imagefolder", photos, split, transform=None) for split in ("train", "test"))
    assert (train.targets, test.targets) == ([0, 0, 0, 1], [0, 1, 1])
    assert train.class_counts == test.class_counts == (3, 1)
    assert test.classes == ("ape", "bee")
    assert test[2][0].tobytes() == pixels(1, seed=4, side=40)[0][:29].tobytes()
    sized = create_dataset("imagefolder", photos, transform=lambda image: image.size)
    assert sized[0] == ((40, 20), 0)


def test_images_in_files_are_the_pixels_that_are_measured_on_bit_for_bit(photos):
    natural = NATURAL_BENCHMARKS["imagefolder"]
    model_input = ModelInput(24, CFG["mean"], CFG["std"], CFG["crop_pct"], CFG["interpolation"])
    benchmark = natural.with_counts((3, 1), ("ape", "bee"), model_input)
    files = open_files(natural, "test", DataLocation(photos), ("ape", "bee"))
    expected, labels = of_batches(make_eval_batches(files, benchmark.data_set, Delivery(CPU)))
    found, targets = pixels_of(create_dataset("imagefolder", photos, "test", pretrained_cfg=CFG))
    assert found.shape == (3, 3, 24, 24)
    assert torch.equal(found, expected)
    assert torch.equal(targets, labels)


@pytest.mark.parametrize(
    ("cfg", "found"),
    [
        (None, "the image size of imagefolder depends on the model; give pretrained_cfg=model.pretrained_cfg, or"),
        ({}, "pretrained_cfg must have input_size, mean, std, crop_pct and interpolation, as that of a timm model has"),
        (CFG | {"input_size": 24}, "pretrained_cfg must have input_size"),
        (CFG | {"input_size": (1, 24, 24)}, "the model needs images with 1 channels, but image files are read as RGB"),
    ],
)
def test_images_in_files_need_the_models_input(cfg, found, photos):
    with pytest.raises(InputError, match=found):
        create_dataset("imagefolder", photos, pretrained_cfg=cfg)


def names_of(data):
    return [data.files.name(index) for index in range(len(data))]


@pytest.mark.parametrize("amount", [1, 0.5])
def test_held_out_images_are_those_of_training(amount, tmp_path):
    plant_splits(tmp_path)
    options = TrainOptions(tmp_path, tmp_path / "output", hold_out=amount)
    recipe = get_recipe("resnet50_imagefolder_ce_sgd")
    expected = load_images(recipe, find_start(recipe, options), options, lambda line: None)
    make = partial(create_dataset, "imagefolder", data_dir=tmp_path, hold_out=amount, transform=None)
    train, held_out, test = (make(split=split) for split in ("train", "held_out", "test"))
    for found, files in ((train, expected.train), (held_out, expected.measured)):
        assert names_of(found) == [files.name(index) for index in range(len(files))]
        assert found.targets == files.labels.tolist()
    assert names_of(test) == names_of(create_dataset("imagefolder", tmp_path, "test", transform=None))
    for found in (train, held_out, test):
        assert found.class_counts == expected.benchmark.class_counts
        assert found.class_names == expected.benchmark.data_set.class_names == ("ant", "bee", "cat")
        assert found.groups == {groups.rule: groups for groups in all_groups(expected.benchmark)}


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_held_out_digits_are_those_of_training(split, tmp_path):
    train, subset, held_out = load_held_out(DIGITS, "cao", 3, tmp_path)
    found = create_dataset("digitslt", tmp_path, split, hold_out=3)
    assert np.array_equal(found.data, (train if split == "train" else held_out).images)
    assert found.subset is None if split == "held_out" else found.subset.sha256 == subset.sha256
    assert found.class_counts == DIGITS.class_counts
    assert found.class_names == DIGITS.data_set.class_names
    assert list(found.groups) == ["mislas", "count", "thirds"]
    assert found.groups["count"] == make_groups("count", DIGITS)


def test_listed_images_that_are_missing_are_named(photos, tmp_path):
    (photos / "train" / "ape" / "1.png").unlink()
    (photos / "all.csv").write_text("image,label\ntrain/ape/0.png,a\ntrain/ape/1.png,a\ntrain/bee/0.png,b\n")
    with pytest.raises(InputError, match="1 of the 3 images of"):
        create_dataset("imagefolder", data_dir=photos / "all.csv", transform=None)
    with pytest.raises(InputError, match="would leave 1 class without a training image: 'bee'"):
        create_dataset("imagefolder", photos, hold_out=1, transform=None)


def test_images_in_files_that_are_not_there(tmp_path):
    (tmp_path / "ape").mkdir()
    Image.new("RGB", (5, 4)).save(tmp_path / "ape" / "0.png")
    with pytest.raises(InputError, match="has no test images"):
        create_dataset("imagefolder", tmp_path, "test", transform=None)
    with pytest.raises(InputError, match="none"):
        create_dataset("imagefolder", tmp_path / "none", transform=None)
