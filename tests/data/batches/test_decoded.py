"""Batches that workers decode: in order, seeded by image, the same with any number of workers and processes."""

import gc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from timm.data.loader import PrefetchLoader

from ltzoo.data import DATASETS, NATURAL_BENCHMARKS, Augmentation, ModelInput
from ltzoo.data.batches import (
    BatchSettings,
    Delivery,
    EvalBatches,
    TrainBatches,
    TrainLoader,
    batch_sizes,
    crop_to_size,
    make_eval_batches,
    make_train_batches,
    train_transform,
)
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from tests.data.pictures import Made

CPU = torch.device("cpu")
MODEL_INPUT = ModelInput(24, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 0.875, "bicubic")
DATA_SET = NATURAL_BENCHMARKS["imagefolder"].with_counts((4, 4, 3), ("a", "b", "c"), MODEL_INPUT).data_set
DRAWN = Augmentation(0, True, min_scale=0.3, auto_augment="rand-m5")
PLAIN = Augmentation(0, False)


def loader(count=11, augmentation=DRAWN, batch=4, seed=0, **options):
    settings = BatchSettings(DATA_SET, (augmentation,), batch, seed)
    return make_train_batches(Made(count), settings, Delivery(CPU, **options))


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
    in_memory = TrainBatches(data, BatchSettings(DATASETS["cifar10"], (PLAIN,), 4, 5), Delivery(CPU))
    jittered = BatchSettings(DATASETS["cifar10"], (replace(PLAIN, color_jitter=0.1),), 4, 5)
    decoded = make_train_batches(data, jittered, Delivery(CPU))
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


def test_the_global_generators_are_left_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    list(loader().epoch(0))
    drawn = torch.rand(2), np.random.rand(2)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert torch.equal(drawn[0], torch.rand(2)) and np.array_equal(drawn[1], np.random.rand(2))  # noqa: NPY002


def test_without_draws_training_sees_what_is_measured():
    images, labels = whole(loader(augmentation=PLAIN).epoch(0))
    measured, in_order = whole(make_eval_batches(Made(11), DATA_SET, Delivery(CPU)))
    assert in_order.tolist() == Made(11).labels.tolist()
    order = torch.cat([torch.as_tensor(part) for part in _order()])
    assert torch.equal(images, measured[order]) and torch.equal(labels, in_order[order])


def _order():
    data = LabelledImages(torch.zeros(11, 32, 32, 3, dtype=torch.uint8), torch.arange(11))
    batches = TrainBatches(data, BatchSettings(DATASETS["cifar10"], (PLAIN,), 4, 0), Delivery(CPU))
    return [labels for _, labels in batches.epoch(0)]


def test_pixels_are_normalised_as_in_memory():
    pixels = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data, cifar = LabelledImages(pixels, torch.arange(6)), DATASETS["cifar10"]
    in_memory, _ = whole(EvalBatches(data, cifar))
    settings = BatchSettings(cifar, (Augmentation(0, False, auto_augment="rand-m0-n0"),), 6, 0)
    decoded = make_train_batches(data, settings, Delivery(CPU))
    images, labels = whole(decoded.epoch(0))
    assert torch.allclose(images, in_memory[labels], atol=1e-5)


def test_grey_images_stay_grey():
    digits = DATASETS["digits"]
    data = LabelledImages(torch.full((3, 16, 16, 1), 7, dtype=torch.uint8), torch.arange(3))
    jittered = Augmentation(2, False, color_jitter=0.1)
    images, _ = whole(make_train_batches(data, BatchSettings(digits, (jittered,), 3, 0), Delivery(CPU)).epoch(0))
    assert images.shape == (3, 1, 16, 16)


@pytest.mark.parametrize("processes", [1, 2, 3, 12])
def test_each_measured_image_belongs_to_one_process(processes):
    seen: list[int] = []
    for process in range(processes):
        for _, labels in make_eval_batches(Numbered(11), DATA_SET, Delivery(CPU, False, process, processes)):
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
        assert crop_to_size(DATA_SET)(Made(1, size).image(0)).shape == (3, 24, 24)


@pytest.fixture
def impatient(monkeypatch):
    """After a worker has raised, torch waits 5 seconds for it to end; not here."""
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
    yield
    gc.collect()  # while it is


UNREADABLE = "cat/5.png of here is damaged or not an image (image file is truncated); fix it"


class Broken(Made):
    """The image at 5 is no image."""

    def image(self, index):
        if index == 5:
            raise InputError(UNREADABLE) from OSError("why")
        return super().image(index)


def test_an_image_that_cannot_be_decoded_is_one_line_with_and_without_workers(impatient):
    for workers in (0, 1):
        delivery = Delivery(CPU, workers=workers)
        trained = make_train_batches(Broken(6), BatchSettings(DATA_SET, (DRAWN,), 2, 0), delivery).epoch(0)
        for batches in (trained, make_eval_batches(Broken(6), DATA_SET, delivery)):
            with pytest.raises(InputError) as caught:
                list(batches)
            assert str(caught.value) == UNREADABLE


def test_a_worker_that_the_system_ends_is_one_line(monkeypatch):
    def ended(loader):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that\nmore")
        yield

    monkeypatch.setattr(PrefetchLoader, "__iter__", ended)
    with pytest.raises(InputError, match=r"^the system killed a process that decodes images .*Bus error.*; use fewer"):
        list(make_eval_batches(Made(2), DATA_SET, Delivery(CPU, workers=1)))


def test_what_is_no_fault_of_the_input_keeps_its_traceback(impatient):
    class Faulty(Made):
        def image(self, index):
            raise RuntimeError("ours")

    for workers in (0, 1):
        with pytest.raises(RuntimeError, match="ours"):
            list(make_eval_batches(Faulty(2), DATA_SET, Delivery(CPU, workers=workers)))


@pytest.mark.parametrize(
    ("images", "batch", "joined", "apart"),
    [
        (11, 4, [4, 4, 3], [4, 4, 3]),
        (8, 4, [4, 4], [4, 4]),
        (17, 8, [8, 9], [8, 8, 1]),
        (18, 8, [8, 10], [8, 8, 2]),
        (19, 8, [8, 8, 3], [8, 8, 3]),  # more than a quarter
        (3, 8, [3], [3]),
        (1, 8, [1], [1]),
        (437_513, 256, [256] * 1708 + [265], [256] * 1709 + [9]),
    ],
)
def test_the_last_batch_keeps_or_joins_the_remaining_images(images, batch, joined, apart):
    assert batch_sizes(images, batch, joined=True) == joined
    assert batch_sizes(images, batch, joined=False) == apart


def test_a_small_last_batch_joins_the_one_before_and_every_image_is_seen_once():
    batches = loader(count=9)
    seen = list(batches.epoch(0))
    assert [len(labels) for _, labels in seen] == [4, 5] == batches.sizes
    shares = [list(loader(count=9, process=process, processes=2).epoch(0)) for process in (0, 1)]
    assert [[len(labels) for _, labels in share] for share in shares] == [[2, 3], [2, 2]]
    assert sorted(whole(seen)[1].tolist()) == sorted(Made(9).labels.tolist())


def test_too_little_shared_memory_is_said_before_a_worker_waits_for_it(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=20_000))
    with pytest.raises(InputError, match=r"2 decoding processes need 0 MiB .* --workers, or enlarge it"):
        next(loader(workers=2).epoch(0))
    assert len(list(loader(workers=0).epoch(0))) == 3  # nothing is shared
