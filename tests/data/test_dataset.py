"""A benchmark as a torch data set, against what the trainer loads."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import PILToTensor

from ltzoo.data import create_dataset, get_benchmark, load_test, load_train
from ltzoo.errors import InputError

DIGITS = get_benchmark("digitslt")


def test_the_training_set_is_the_benchmarks_subset(tmp_path):
    images, subset = load_train(DIGITS, "cao", tmp_path)
    found = create_dataset("digitslt", tmp_path)
    assert len(found) == sum(DIGITS.class_counts) == 438
    assert found.class_counts == DIGITS.class_counts
    assert np.bincount(found.targets).tolist() == list(DIGITS.class_counts)
    assert found.subset.sha256 == subset.sha256
    image, label = found[5]
    assert (image.size, image.mode, label) == ((16, 16), "L", int(images.labels[5]))
    assert np.array_equal(np.asarray(image), images.images[5, :, :, 0])


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
        ({"split": "val"}, "the splits train and test, not 'val'"),
        ({"subset": "last"}, "no subset rule is called 'last'"),
        ({"subset": "none.json"}, "none.json is missing or no subset file"),
    ],
)
def test_bad_arguments_are_refused(arguments, found, tmp_path):
    with pytest.raises(InputError, match=found):
        create_dataset(**{"name": "digitslt", "root": tmp_path} | arguments)


def test_images_in_files_are_a_data_set_too(tmp_path):
    for split, counts in (("train", {"ape": 3, "bee": 1}), ("val", {"ape": 1, "bee": 2})):
        for name, count in counts.items():
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                colour = (number, 7, len(name))
                Image.new("RGB", (5, 4), colour).save(tmp_path / split / name / f"{number}.png")
    train, test = (create_dataset("imagefolder", tmp_path, split) for split in ("train", "test"))
    assert (train.targets, test.targets) == ([0, 0, 0, 1], [0, 1, 1])
    assert train.class_counts == test.class_counts == (3, 1)
    assert test.classes == ("ape", "bee")
    assert test[2][0].getpixel((0, 0)) == (1, 7, 3)
    sized = create_dataset("imagefolder", tmp_path, transform=lambda image: image.size)
    assert sized[0] == ((5, 4), 0)


def test_images_in_files_that_are_not_there(tmp_path):
    (tmp_path / "ape").mkdir()
    Image.new("RGB", (5, 4)).save(tmp_path / "ape" / "0.png")
    with pytest.raises(InputError, match="has no test images"):
        create_dataset("imagefolder", tmp_path, "test")
    with pytest.raises(InputError, match="none"):
        create_dataset("imagefolder", tmp_path / "none")
