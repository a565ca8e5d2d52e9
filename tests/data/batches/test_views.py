"""Several views of an image: each by its own policy and its own draws, in memory and decoded."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ltzoo.data import DATASETS, Augmentation, seeded_generator, temporary_seed
from ltzoo.data.batches import (
    BatchSettings,
    Delivery,
    TrainBatches,
    TrainLoader,
    in_memory_format,
    make_train_batches,
    train_transform,
)
from ltzoo.data.batches.in_memory import pad
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError

CPU = torch.device("cpu")
CIFAR = DATASETS["cifar10"]
DATA = LabelledImages(
    torch.randint(1, 256, (22, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)),
    torch.arange(22) % 10,
)
CROP = Augmentation(4, True)
CUT = Augmentation(2, True, cutout=16)
TURNED = Augmentation(4, True, rotation=15)
SIM = Augmentation(
    0, True, min_scale=0.2, color_jitter=0.4, color_jitter_hue=0.1, color_jitter_prob=0.8, grayscale_prob=0.2
)
IN_MEMORY, DECODED = (CROP, CUT, CROP), (TURNED, SIM, SIM)


def made(*views, batch=8, seed=3, **delivery):
    return make_train_batches(DATA, BatchSettings(CIFAR, views, batch, seed), Delivery(CPU, **delivery))


def images_of(batches, epoch=0, first=0):
    return torch.cat([images for images, _ in batches.epoch(epoch, first)])


def stored(images):
    """Normalised images, (..., 3, 32, 32), as they were stored."""
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (CIFAR.mean, CIFAR.std))
    return (images * std + mean).round()


@pytest.mark.parametrize(("views", "kind"), [(IN_MEMORY, TrainBatches), (DECODED, TrainLoader)])
def test_each_image_comes_with_all_its_views_and_the_first_is_that_of_a_single_one(views, kind):
    batches, single = made(*views), made(views[0])
    assert isinstance(batches, kind) and isinstance(single, kind)
    for (images, labels), (image, label) in zip(batches.epoch(1), single.epoch(1), strict=True):
        assert images.shape == (len(labels), 3, 3, 32, 32) and images.dtype == torch.float32
        assert torch.equal(images[:, 0], image) and torch.equal(labels, label)


@pytest.mark.parametrize("views", [IN_MEMORY, DECODED])
def test_a_view_has_its_own_draws_which_follow_from_seed_epoch_and_its_number(views):
    whole = images_of(made(*views))
    assert torch.equal(whole, images_of(made(*views)))
    assert torch.equal(whole[:, 2], images_of(made(views[0], views[0], views[2]))[:, 2])  # whatever is before it
    assert not torch.equal(images_of(made(views[2], views[2], views[2]))[:, 1], whole[:, 2])
    for other in (images_of(made(*views), epoch=1), images_of(made(*views, seed=4))):
        assert not torch.equal(whole, other)


@pytest.mark.parametrize("views", [IN_MEMORY, DECODED])
def test_processes_workers_and_a_late_beginning_change_nothing(views):
    whole = images_of(made(*views))
    assert torch.equal(images_of(made(*views), first=1), whole[8:])
    shares = [list(made(*views, process=process, processes=2, workers=2 * process).epoch(0)) for process in range(2)]
    for number, pairs in enumerate(zip(*shares, strict=True)):
        for process, (images, _) in enumerate(pairs):
            assert torch.equal(images, whole[8 * number :][: len(pairs[0][0]) + len(pairs[1][0])][process::2])


def test_views_in_memory_are_crops_mirrored_or_not_of_their_image():
    (images, labels), *_ = made(CROP, CUT, batch=22).epoch(0)
    padded = {view: pad(DATA.images, view.crop_padding).permute(0, 3, 1, 2) for view in (CROP, CUT)}
    order = []
    for crop in stored(images)[:, 0]:
        found = [
            k
            for k in range(22)
            for row in range(9)
            for column in range(9)
            for shown in (crop, crop.flip(-1))
            if torch.equal(padded[CROP][k, :, row : row + 32, column : column + 32].float(), shown)
        ]
        assert len(set(found)) == 1
        order.append(found[0])
    assert sorted(order) == list(range(22)) and DATA.labels[order].tolist() == labels.tolist()
    for k, cut in zip(order, stored(images)[:, 1], strict=True):
        seen = cut.sum(dim=0) > 0
        crops = [padded[CUT][k, :, row : row + 32, column : column + 32] for row in range(5) for column in range(5)]
        assert any(torch.equal(shown * seen, cut) for crop in crops for shown in (crop.float(), crop.flip(-1).float()))
        assert int((~seen).sum()) >= 64  # a corner of the square at least


def test_decoded_views_are_those_of_their_transforms_under_their_seeds():
    batches = made(*DECODED, batch=22)
    images = stored(images_of(batches, epoch=2))
    order = batches.settings.sampler.order(DATA.labels, 22, seeded_generator(3, 2))
    for place, index in enumerate(order.tolist()):
        for number, view in enumerate(DECODED):
            with temporary_seed(3, 2, 4, index, *([0, number] if number else [])):
                expected = train_transform(CIFAR, view)(DATA.image(index))
            assert torch.equal(images[place, number], torch.as_tensor(expected).float())


def test_one_view_that_needs_single_images_decodes_them_all():
    assert isinstance(made(CROP, SIM), TrainLoader)
    assert not replace(CROP, rotation=1.0).batched and not replace(CROP, grayscale_prob=0.1).batched
    assert not replace(CROP, gaussian_blur_prob=0.1).batched and not replace(CROP, color_jitter_hue=0.1).batched


@pytest.mark.parametrize("views", [IN_MEMORY, DECODED])
def test_channels_last_is_the_format_of_the_views_together(views):
    for plain, last in zip(made(*views).epoch(0), made(*views, channels_last=True).epoch(0), strict=True):
        assert torch.equal(plain[0], last[0])
        assert last[0].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
        assert plain[0].is_contiguous()


def test_a_format_is_brought_to_batches_with_and_without_views():
    for shape in ((4, 3, 5, 6), (4, 2, 3, 5, 6)):
        images = torch.randn(shape)
        found = in_memory_format(images, torch.channels_last)
        assert found.shape == shape and torch.equal(found, images)
        assert found.flatten(0, -4).is_contiguous(memory_format=torch.channels_last)


def test_shared_memory_must_hold_all_views(monkeypatch):
    usage = SimpleNamespace(free=2 * 2 * 8 * 3 * 32 * 32)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    next(made(SIM, workers=2).epoch(0))
    with pytest.raises(InputError, match="2 decoding processes need"):
        next(made(SIM, SIM, workers=2).epoch(0))


def test_cutout_of_a_later_view_leaves_the_first_whole():
    images = stored(images_of(made(Augmentation(0, False), Augmentation(0, False, cutout=16))))
    assert (images[:, 0] > 0).all()
    black = (images[:, 1] == 0).all(dim=1)
    assert set(black.sum((1, 2)).tolist()) <= {a * b for a in range(8, 17) for b in range(8, 17)}
    assert torch.equal(images[:, 1], images[:, 0] * ~black.unsqueeze(1))
