"""The digits against scikit-learn's own images."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ltzoo.data import DATASETS, get_benchmark
from ltzoo.data.memory import digits_source, load_test, load_train

NOWHERE = Path("no/such/folder")
COUNTS = (130, 93, 66, 47, 34, 24, 17, 12, 9, 6)


def enlarged(image):
    """Twice as large, bilinear, written out: each new pixel takes 3/4 of the nearest and 1/4 of the next."""
    for axis in (0, 1):
        edged = np.concatenate([image.take([0], axis), image, image.take([-1], axis)], axis)
        n = image.shape[axis]
        before, here, after = (edged.take(range(k, k + n), axis) for k in range(3))
        image = np.stack([0.75 * here + 0.25 * before, 0.75 * here + 0.25 * after], axis + 1)
        image = image.reshape(*((2 * n, -1) if axis == 0 else (-1, 2 * n)))
    return image


def test_the_long_tail_has_438_images_and_the_test_40_a_class():
    train, subset = load_train(get_benchmark("digitslt"), "cao", NOWHERE)
    test = load_test(get_benchmark("digitslt"), NOWHERE)
    assert get_benchmark("digitslt").class_counts == COUNTS
    assert tuple(torch.bincount(train.labels).tolist()) == COUNTS
    assert torch.bincount(test.labels).tolist() == [40] * 10
    assert train.images.shape == (438, 16, 16, 1)
    assert test.images.shape == (400, 16, 16, 1)
    assert train.images.dtype == test.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    assert len(set(subset.indices.tolist())) == 438


def test_train_and_test_are_disjoint_and_together_all_the_digits():
    found = Counter()
    for split in ("train", "test"):
        source = digits_source(split)
        images = source.decode(np.arange(len(source.labels))).numpy()[..., 0]
        found.update((int(label), image.tobytes()) for label, image in zip(source.labels, images, strict=True))
    digits = load_digits()
    expected = [np.rint(enlarged(image * (255 / 16))).astype(np.uint8) for image in digits.images]
    wanted = Counter((int(label), image.tobytes()) for label, image in zip(digits.target, expected, strict=True))
    assert found == wanted
    assert found.total() == 1797


def test_images_are_decoded_for_the_indices_asked_for():
    source = digits_source("train")
    everything = source.decode(np.arange(len(source.labels)))
    assert torch.equal(source.decode(np.array([7, 3, 7])), everything[[7, 3, 7]])


def test_mean_and_deviation_are_those_of_the_long_tail():
    pixels = load_train(get_benchmark("digitslt"), "cao", NOWHERE)[0].images.double() / 255
    assert DATASETS["digits"].mean == (pytest.approx(float(pixels.mean()), abs=5e-5),)
    assert DATASETS["digits"].std == (pytest.approx(float(pixels.std()), abs=5e-5),)
