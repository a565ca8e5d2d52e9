"""Batches against torchvision's transforms of the same images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2.functional import resize

from ltzoo.data import DATASETS, Augmentation
from ltzoo.data.batches import BatchSettings, Delivery, EvalBatches, TrainBatches
from ltzoo.data.memory import LabelledImages

SIZE, COUNT, BATCH = 6, 23, 8
DATA_SET = replace(DATASETS["cifar10"], image_size=SIZE)
CPU = torch.device("cpu")


@pytest.fixture
def data():
    """Random images; the label is the image's index."""
    images = torch.randint(
        0, 256, (COUNT, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return LabelledImages(images, torch.arange(COUNT))


def by_torchvision(images):
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(DATA_SET.mean, DATA_SET.std)])
    return torch.stack([transform(image) for image in images.numpy()])


def train(data, augmentation, seed=0, **options):
    return TrainBatches(data, BatchSettings(DATA_SET, (augmentation,), BATCH, seed), Delivery(CPU, **options))


def joined(batches):
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("channels_last", [True, False])
def test_pixels_are_those_of_the_formula_bit_for_bit(data, channels_last):
    """In float32: of each pixel the mean is subtracted, and what remains is divided, both scaled to 0 .. 255."""
    mean, std = (torch.tensor(values) * 255 for values in (DATA_SET.mean, DATA_SET.std))
    expected = torch.stack([(data.images[..., k].float() - mean[k]) / std[k] for k in range(3)], dim=1)
    images, _ = joined(EvalBatches(data, DATA_SET, BATCH, channels_last=channels_last))
    assert torch.equal(images, expected)


def test_seed_and_epoch_fix_the_batches_and_each_of_them_matters(data):
    both = Augmentation(2, True)

    def epoch(seed, number):
        return joined(train(data, both, seed).epoch(number))

    images, labels = epoch(1, 5)
    again, labels_again = epoch(1, 5)
    assert torch.equal(images, again)
    assert torch.equal(labels, labels_again)
    others = [epoch(1, 6), epoch(2, 5), epoch(5, 1), epoch(6, 0)]
    assert not any(torch.equal(labels, other) for _, other in others)


def test_an_epoch_does_not_depend_on_those_before_nor_on_the_global_generator(data):
    used = train(data, Augmentation(2, True))
    for number in range(3):
        joined(used.epoch(number))
    torch.manual_seed(9)
    expected, found = joined(train(data, Augmentation(2, True)).epoch(3)), joined(used.epoch(3))
    assert torch.equal(expected[0], found[0])
    assert torch.equal(expected[1], found[1])


def test_every_image_comes_once_an_epoch_and_the_last_batch_is_kept(data):
    batches = train(data, Augmentation(2, True))
    labels = [part for _, part in batches.epoch(0)]
    assert len(batches) == 3
    assert [len(part) for part in labels] == [8, 8, 7]
    assert torch.cat(labels).sort().values.tolist() == list(range(COUNT))
    assert torch.cat(labels).tolist() != list(range(COUNT))
    assert len(train(LabelledImages(data.images[:16], data.labels[:16]), Augmentation(2, True))) == 2


def test_without_augmentation_images_are_torchvisions(data):
    images, labels = joined(train(data, Augmentation(0, False)).epoch(0))
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, by_torchvision(data.images)[labels], rtol=0, atol=1e-6)


def test_with_flip_alone_each_image_is_itself_or_its_mirror_image(data):
    images, labels = joined(train(data, Augmentation(0, True)).epoch(0))
    plain = by_torchvision(data.images)[labels]
    same = ((images - plain).abs() < 1e-5).flatten(1).all(dim=1)
    mirrored = ((images - plain.flip(3)).abs() < 1e-5).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_with_crop_alone_each_image_is_one_of_its_crops_on_black(data):
    images, labels = joined(train(data, Augmentation(1, False)).epoch(0))
    padded = torch.zeros(COUNT, SIZE + 2, SIZE + 2, 3, dtype=torch.uint8)
    padded[:, 1:-1, 1:-1] = data.images
    offsets = []
    for image, label in zip(images, labels, strict=True):
        crops = {(y, x): padded[label, y : y + SIZE, x : x + SIZE] for y in range(3) for x in range(3)}
        fits = [place for place, crop in crops.items() if (by_torchvision(crop[None])[0] - image).abs().max() < 1e-5]
        assert len(fits) == 1
        offsets += fits
    assert len(set(offsets)) > 3


def test_channels_last_changes_the_memory_format_and_no_value(data):
    augmentation = Augmentation(2, True)
    plain = next(train(data, augmentation).epoch(0))[0]
    last = next(train(data, augmentation, channels_last=True).epoch(0))[0]
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    assert torch.equal(plain, last)
    evaluated = next(iter(EvalBatches(data, DATA_SET, BATCH, channels_last=True)))[0]
    assert evaluated.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_batches_are_torchvisions_images_in_their_stored_order(data):
    batches = list(EvalBatches(data, DATA_SET, BATCH))
    assert [len(labels) for _, labels in batches] == [8, 8, 7]
    images, labels = joined(batches)
    assert torch.equal(labels, data.labels)
    torch.testing.assert_close(images, by_torchvision(data.images), rtol=0, atol=1e-6)


def test_grey_images_have_one_channel():
    grey = LabelledImages(torch.full((2, 16, 16, 1), 255, dtype=torch.uint8), torch.tensor([3, 4]))
    images, _ = next(iter(EvalBatches(grey, DATASETS["digits"])))
    assert images.shape == (2, 1, 16, 16)
    np.testing.assert_allclose(images.numpy(), (1 - 0.3071) / 0.3199, rtol=1e-6)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_images_of_another_size_are_resized_as_pillow_does(data, interpolation, channels_last):
    larger = replace(DATA_SET, image_size=17, interpolation=interpolation)
    images, labels = joined(EvalBatches(data, larger, BATCH, channels_last=channels_last))
    assert images.shape == (COUNT, 3, 17, 17) and torch.equal(labels, data.labels)
    method = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[interpolation]
    by_pillow = [np.asarray(data.image(k).resize((17, 17), method)) for k in range(COUNT)]
    step = 1 / 255 / min(DATA_SET.std)  # one of 256 grey levels
    torch.testing.assert_close(images, by_torchvision(torch.from_numpy(np.stack(by_pillow))), rtol=0, atol=1.01 * step)


def test_crops_and_squares_are_those_of_the_stored_size_and_then_enlarged(data):
    augmentation = Augmentation(crop_padding=2, horizontal_flip=True, cutout=2)
    larger = replace(DATA_SET, image_size=17)
    stored, _ = joined(train(data, augmentation).epoch(0))
    enlarged, _ = joined(TrainBatches(data, BatchSettings(larger, (augmentation,), BATCH, 0), Delivery(CPU)).epoch(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (DATA_SET.mean, DATA_SET.std))
    pixels = ((stored * std + mean) * 255).round().to(torch.uint8)
    expected = resize(pixels, [17, 17], transforms.InterpolationMode.BICUBIC)
    torch.testing.assert_close(enlarged, (expected / 255 - mean) / std)
