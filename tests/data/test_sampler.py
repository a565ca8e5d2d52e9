"""Samplers against their definition: a plain loop over the drawn images, and both kinds of batches."""

import numpy as np
import pytest
import torch
from PIL import Image

from ltzoo.data import DATASETS, NATURAL_BENCHMARKS, Augmentation, ClassAwareSampler, InstanceSampler, ModelInput
from ltzoo.data.batches import BatchSettings, Delivery, TrainBatches, TrainLoader
from ltzoo.data.memory import LabelledImages
from ltzoo.data.seeding import seeded_generator
from tests.data.pictures import Made

CPU = torch.device("cpu")
LABELS = torch.tensor([2, 0, 0, 1, 0, 2, 0, 5, 0, 0, 1, 0, 0])
"""Class 0 has 8 images, 1 and 2 have 2, 5 has 1, and 3 and 4 none."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def check_class_aware(order, labels, k):
    """Follow a class-aware order image by image: its passes, its runs of k, and each class's list of images."""
    classes = sorted(set(labels))
    images = {j: {i for i, label in enumerate(labels) if label == j} for j in classes}
    visited_in_pass, left = [], {j: set() for j in classes}
    for position, image in enumerate(order):
        j = labels[image]
        if position % k == 0:
            if len(visited_in_pass) == len(classes):
                visited_in_pass = []
            assert j not in visited_in_pass, "a class comes twice in one pass"
            visited_in_pass.append(j)
        assert j == visited_in_pass[-1], "a class gives k images in a row"
        if not left[j]:
            left[j] = set(images[j])
        assert image in left[j], "an image is repeated before its class is exhausted"
        left[j].remove(image)


@pytest.mark.parametrize("images", [1, 2, 13, 100])
def test_the_instance_sampler_is_a_random_permutation(images):
    sampler = InstanceSampler()
    labels = torch.arange(images) % 3
    assert sampler.length(images, 8) == images
    order = sampler.order(labels, 8, generator(7))
    assert torch.equal(order, torch.randperm(images, generator=generator(7)))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("epoch", ["images", "whole_batches", "one_more_batch"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_class_aware_order_follows_its_definition(k, epoch, seed):
    sampler = ClassAwareSampler(k, epoch)
    for repeats in (1, 7):
        labels = LABELS.repeat(repeats)
        order = sampler.order(labels, 6, generator(seed))
        assert order.dtype == torch.int64
        assert len(order) == sampler.length(len(labels), 6)
        check_class_aware(order.tolist(), labels.tolist(), k)


@pytest.mark.parametrize(
    ("images", "batch_size", "whole", "more"),
    [
        (13, 6, 12, 24),
        (12, 6, 12, 18),
        (13, 13, 13, 26),
        (5, 6, 6, 12),
        (1, 8, 8, 16),
        (10_847, 128, 84 * 128, 86 * 128),  # 86 steps of MiSLAS on CIFAR-100-LT
    ],
)
def test_an_epoch_has_as_many_images_as_the_training_set_or_whole_batches(images, batch_size, whole, more):
    assert ClassAwareSampler(4, "images").length(images, batch_size) == images
    assert ClassAwareSampler(4, "whole_batches").length(images, batch_size) == whole
    assert ClassAwareSampler(4, "one_more_batch").length(images, batch_size) == more


def test_all_classes_are_drawn_equally_often_and_all_images_of_a_class_too():
    labels = LABELS.repeat(4)  # 52 images: 13 turns of 4 images
    sampler = ClassAwareSampler(4)
    drawn = torch.cat([sampler.order(labels, 6, generator(seed)) for seed in range(300)])
    share = torch.bincount(labels[drawn]).double()[[0, 1, 2, 5]] / len(drawn)
    torch.testing.assert_close(share, torch.full((4,), 0.25).double(), rtol=0.05, atol=0)
    for j in (0, 1, 2, 5):
        counts = torch.bincount(drawn, minlength=len(labels))[labels == j].double()
        torch.testing.assert_close(counts / counts.mean(), torch.ones(len(counts)).double(), rtol=0.2, atol=0)


def test_passes_lists_and_epochs_are_drawn_anew():
    sampler = ClassAwareSampler(2)
    labels = torch.arange(8).repeat_interleave(8)
    order = sampler.order(labels, 8, generator())
    passes = labels[order][::2].view(-1, 8)
    assert len({tuple(one.tolist()) for one in passes}) == len(passes) == 4
    assert not torch.equal(order, sampler.order(labels, 8, generator(1)))
    assert torch.equal(order, sampler.order(labels, 8, generator()))


def test_fewer_images_in_a_row_than_one_are_refused():
    with pytest.raises(ValueError, match="per_class must be at least 1, not 0"):
        ClassAwareSampler(0)


def test_an_epoch_can_have_a_number_of_draws_of_its_own():
    sampler = ClassAwareSampler(per_class=4, draws=50)
    labels = torch.tensor([0] * 9 + [1] * 3)
    assert sampler.length(len(labels), 8) == 50
    order = sampler.order(labels, 8, torch.Generator().manual_seed(0))
    assert len(order) == 50
    assert abs(int((labels[order] == 0).sum()) - 25) <= 4  # classes equally often, in rows of 4
    for fields in ({"draws": 0}, {"draws": 50, "epoch": "whole_batches"}):
        with pytest.raises(ValueError, match="draws must be at least 1, with epoch: images, not"):
            ClassAwareSampler(**fields)


def test_an_unknown_length_of_an_epoch_is_refused():
    with pytest.raises(ValueError, match="one of images, whole_batches, one_more_batch, not 'whole_batch'"):
        ClassAwareSampler(epoch="whole_batch")


MODEL_INPUT = ModelInput(8, (0.5,) * 3, (0.2,) * 3, 1.0, "bicubic")


class Numbered(Made):
    """Images of one colour, their index, with the labels of this test."""

    def __init__(self):
        super().__init__(len(LABELS), (8, 8))
        self.labels = LABELS.numpy()

    def image(self, index):
        return Image.new("RGB", (8, 8), (index, 0, 0))


def batches_of(kind, sampler, **options):
    """Batches whose images tell their index, and the normalisation of the red channel."""
    if kind is TrainBatches:
        pixels = torch.zeros(len(LABELS), 32, 32, 3, dtype=torch.uint8)
        pixels[..., 0] = torch.arange(len(LABELS))[:, None, None]
        data, data_set = LabelledImages(pixels, LABELS), DATASETS["cifar10"]
    else:
        natural = NATURAL_BENCHMARKS["imagefolder"]
        data, data_set = Numbered(), natural.with_counts((8, 2, 2, 1, 1, 1), "abcdef", MODEL_INPUT).data_set
    settings = BatchSettings(data_set, (Augmentation(0, False),), 6, 3, sampler)
    return kind(data, settings, Delivery(CPU, **options)), data_set


def indices(images, data_set):
    return (255 * (images[:, 0, 0, 0] * data_set.std[0] + data_set.mean[0])).round().long()


@pytest.mark.parametrize("kind", [TrainBatches, TrainLoader])
@pytest.mark.parametrize("sampler", [InstanceSampler(), ClassAwareSampler(4), ClassAwareSampler(4, "whole_batches")])
def test_batches_have_the_images_in_the_samplers_order(kind, sampler):
    order = sampler.order(LABELS, 6, seeded_generator(3, 2))
    batches, data_set = batches_of(kind, sampler)
    found = list(batches.epoch(2))
    assert [len(labels) for _, labels in found] == batches.sizes
    assert sum(batches.sizes) == len(order) == sampler.length(len(LABELS), 6)
    assert torch.equal(torch.cat([indices(images, data_set) for images, _ in found]), order)
    assert torch.equal(torch.cat([labels for _, labels in found]), LABELS[order])
    assert np.array_equal(batches.labels, LABELS)  # labels of the training set, whatever the sampler draws


@pytest.mark.parametrize("kind", [TrainBatches, TrainLoader])
def test_processes_share_the_samplers_batches(kind):
    sampler = ClassAwareSampler(4, "whole_batches")
    whole, data_set = batches_of(kind, sampler)
    shares = [list(batches_of(kind, sampler, process=process, processes=2)[0].epoch(0)) for process in (0, 1)]
    for number, (images, _) in enumerate(whole.epoch(0)):
        for process in (0, 1):
            assert torch.equal(indices(shares[process][number][0], data_set), indices(images, data_set)[process::2])


def test_an_image_that_is_drawn_again_is_augmented_again():
    """One class, one image, drawn 16 times in an epoch: the loader crops it at different places."""
    images = LabelledImages(torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
    sampler = ClassAwareSampler(per_class=4, epoch="whole_batches")
    jitter = Augmentation(crop_padding=4, horizontal_flip=True, color_jitter=0.4)
    loader = TrainLoader(images, BatchSettings(DATASETS["cifar10"], (jitter,), 16, 0, sampler), Delivery(CPU))
    (batch, _), *_ = loader.epoch(0)
    assert len(batch) == 16
    assert len({image.numpy().tobytes() for image in batch}) > 12
    again, _ = next(iter(loader.epoch(0)))
    assert torch.equal(batch, again)
