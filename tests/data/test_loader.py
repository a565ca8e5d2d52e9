"""Batches that are decoded on the way: in order, seeded by image, the same whoever decodes them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ltzoo.data import (
    DATASETS,
    NATURAL_BENCHMARKS,
    Augmentation,
    EvalBatches,
    LabelledImages,
    TrainBatches,
    TrainLoader,
    View,
    eval_transform,
    make_eval_batches,
    make_train_batches,
    train_transform,
)
from tests.data.pictures import Made

CPU = torch.device("cpu")
VIEW = View(24, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 0.875, "bicubic")
DATA_SET = NATURAL_BENCHMARKS["imagefolder"].opened((4, 4, 3), ("a", "b", "c"), VIEW).data_set
DRAWN = Augmentation(0, True, min_scale=0.3, color_jitter=0.4, auto_augment="rand-m5")
PLAIN = Augmentation(0, False)


def loader(count=11, augmentation=DRAWN, batch=4, seed=0, **options):
    return make_train_batches(Made(count), DATA_SET, augmentation, batch, seed, CPU, **options)


def whole(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def test_an_epoch_has_every_image_once_and_its_last_batch_is_smaller():
    batches = list(loader().epoch(0))
    assert [len(labels) for _, labels in batches] == [4, 4, 3] and len(loader()) == 3
    assert sorted(whole(batches)[1].tolist()) == sorted(Made(11).labels.tolist())
    images, labels = batches[0]
    assert images.shape == (4, 3, 24, 24) and images.dtype == torch.float32 and labels.dtype == torch.int64


def test_the_order_is_that_of_batches_in_memory():
    data = LabelledImages(torch.zeros(11, 32, 32, 3, dtype=torch.uint8), torch.arange(11))
    in_memory = TrainBatches(data, DATASETS["cifar10"], PLAIN, 4, 5, CPU)
    decoded = make_train_batches(data, DATASETS["cifar10"], replace(PLAIN, color_jitter=0.1), 4, 5, CPU)
    assert isinstance(decoded, TrainLoader)
    for epoch in (0, 1):
        orders = [torch.cat([labels for _, labels in batches.epoch(epoch)]) for batches in (in_memory, decoded)]
        assert torch.equal(*orders)


def test_epochs_and_seeds_differ_and_repeat():
    first, again, later, other = (
        whole(loader(seed=seed).epoch(epoch))[0] for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later) and not torch.equal(first, other)


def test_workers_and_processes_change_nothing():
    here, labels = whole(loader().epoch(3))
    workers = loader(workers=2)
    assert torch.equal(whole(workers.epoch(3))[0], here)
    assert torch.equal(whole(workers.epoch(3))[0], here)  # the workers live on
    shares = [list(loader(process=process, processes=2).epoch(3)) for process in (0, 1)]
    for k, (images, targets) in enumerate(loader().epoch(3)):
        for process in (0, 1):
            assert torch.equal(shares[process][k][0], images[process::2])
            assert torch.equal(shares[process][k][1], targets[process::2])
    assert len(labels) == 11


def test_nobody_elses_draws_are_touched():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    list(loader().epoch(0))
    drawn = torch.rand(2), np.random.rand(2)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert torch.equal(drawn[0], torch.rand(2)) and np.array_equal(drawn[1], np.random.rand(2))  # noqa: NPY002


def test_without_draws_training_sees_what_is_measured():
    images, labels = whole(loader(augmentation=PLAIN).epoch(0))
    measured, in_order = whole(make_eval_batches(Made(11), DATA_SET, CPU))
    assert in_order.tolist() == Made(11).labels.tolist()
    order = torch.cat([torch.as_tensor(part) for part in _order()])
    assert torch.equal(images, measured[order]) and torch.equal(labels, in_order[order])


def _order():
    data = LabelledImages(torch.zeros(11, 32, 32, 3, dtype=torch.uint8), torch.arange(11))
    return [labels for _, labels in TrainBatches(data, DATASETS["cifar10"], PLAIN, 4, 0, CPU).epoch(0)]


def test_pixels_are_normalised_as_in_memory():
    pixels = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data, cifar = LabelledImages(pixels, torch.arange(6)), DATASETS["cifar10"]
    in_memory, _ = whole(EvalBatches(data, cifar))
    decoded = make_train_batches(data, cifar, Augmentation(0, False, auto_augment="rand-m0-n0"), 6, 0, CPU)
    images, labels = whole(decoded.epoch(0))
    assert torch.allclose(images, in_memory[labels], atol=1e-5)


def test_grey_images_stay_grey():
    digits = DATASETS["digits"]
    data = LabelledImages(torch.full((3, 16, 16, 1), 7, dtype=torch.uint8), torch.arange(3))
    jittered = Augmentation(2, False, color_jitter=0.1)
    images, _ = whole(make_train_batches(data, digits, jittered, 3, 0, CPU).epoch(0))
    assert images.shape == (3, 1, 16, 16)


@pytest.mark.parametrize("processes", [1, 2, 3, 12])
def test_each_measured_image_belongs_to_one_process(processes):
    seen: list[int] = []
    for process in range(processes):
        for _, labels in make_eval_batches(Numbered(11), DATA_SET, CPU, False, process, processes):
            seen += labels.tolist()
    assert sorted(seen) == list(range(11))


class Numbered(Made):
    def __init__(self, count):
        super().__init__(count, classes=count)


def test_the_loader_says_how_fast_it_could_be():
    batches = loader()
    list(batches.epoch(0))
    assert 1 < batches.rate < 1e6


def test_crops_have_their_size_whatever_the_image():
    for size in ((10, 200), (24, 24), (300, 20)):
        for augmentation in (DRAWN, PLAIN, Augmentation(4, True), Augmentation(0, True, auto_augment="augmix")):
            assert train_transform(DATA_SET, augmentation)(Made(1, size).image(0)).shape == (3, 24, 24)
        assert eval_transform(DATA_SET)(Made(1, size).image(0)).shape == (3, 24, 24)


def test_memory_stays_flat_over_epochs():
    import psutil

    process, batches = psutil.Process(), loader(count=200, augmentation=PLAIN, batch=50)
    list(batches.epoch(0))
    list(batches.epoch(1))
    before = process.memory_info().rss
    for epoch in range(2, 6):
        list(batches.epoch(epoch))
    assert process.memory_info().rss - before < 8 * 2**20
