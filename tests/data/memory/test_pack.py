"""A packed copy: the same subset, the same images, the same test set, from either layout; nothing else."""

import numpy as np
import pytest
import torch

from ltzoo.data.memory import load_held_out, load_subset, load_test, load_train, pack
from ltzoo.errors import InputError
from tests.data.conftest import TINY, pixels, png


@pytest.fixture(params=["parquet", "torchvision"])
def data(request):
    """Four images of each class of CIFAR-10 in a scattered order, of which the tiny benchmark keeps 12."""
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(10), 4)).tolist()
    train, test = pixels(40), pixels(10, seed=1)
    if request.param == "torchvision":
        return request.getfixturevalue("write_torchvision")("cifar10", (train, labels), (test, list(range(10))))
    write = request.getfixturevalue("write_parquet")
    write([([png(image) for image in train], labels)])
    return write([([png(image) for image in test], list(range(10)))], split="test")


def test_the_copy_gives_the_same_images_under_the_same_hash(data, tmp_path):
    benchmark, copy = TINY["cifar10"], tmp_path / "copy"
    subset = load_subset(benchmark, "cao", data)
    size = pack("cifar10", [subset], data, copy)
    assert size == sum(path.stat().st_size for path in copy.rglob("*.parquet"))
    (images, kept), (copied, same) = (load_train(benchmark, "cao", place) for place in (data, copy))
    assert (same.sha256, same.layout) == (kept.sha256, kept.layout)
    assert torch.equal(copied.images, images.images)
    assert torch.equal(copied.labels, images.labels)
    assert torch.equal(load_test(benchmark, copy).images, load_test(benchmark, data).images)


def test_an_image_that_was_left_out_is_named_as_such(data, tmp_path):
    benchmark = TINY["cifar10"]
    pack("cifar10", [load_subset(benchmark, "cao", data)], data, tmp_path / "copy")
    with pytest.raises(
        InputError,
        match=r"image \d+ of .* is missing: the copy was packed for other benchmarks; pack it again for this one",
    ):
        load_train(benchmark, "first", tmp_path / "copy")


def test_a_copy_is_not_written_over_and_a_foreign_subset_refused(data, tmp_path):
    subset = load_subset(TINY["cifar10"], "cao", data)
    pack("cifar10", [subset], data, tmp_path / "copy")
    with pytest.raises(InputError, match="copy/cifar10 exists; remove it"):
        pack("cifar10", [subset], data, tmp_path / "copy")
    foreign = type(subset)(subset.rule, "another order", subset.indices)
    with pytest.raises(InputError, match="in the order another order, not"):
        pack("cifar10", [foreign], data, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_images_to_hold_out_come_along(data, tmp_path):
    benchmark = TINY["cifar10"]
    subset = load_subset(benchmark, "cao", data)
    pack("cifar10", [subset], data, tmp_path / "copy", held_out=2)
    found, copied = (load_held_out(benchmark, "cao", 2, place) for place in (data, tmp_path / "copy"))
    assert copied[1].sha256 == found[1].sha256
    assert torch.equal(copied[0].images, found[0].images)
    assert torch.equal(copied[2].images, found[2].images)
    with pytest.raises(InputError, match="would leave no training image"):
        pack("cifar10", [subset], data, tmp_path / "other", held_out=4)
    assert not (tmp_path / "other").exists()
