"""Views mixed with those of a second stream: what is mixed by how much, and which images the stream has."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ltzoo.data import DATASETS, Augmentation, InversePowerSampler
from ltzoo.data.batches import (
    BatchSettings,
    Delivery,
    TrainBatches,
    TrainLoader,
    make_train_batches,
    mix_batch,
    mix_views,
)
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from tests.data.pictures import Made

CPU = torch.device("cpu")
SIDE = 32
MIXUP, CUTMIX = Augmentation(0, False, mixup=1.0), Augmentation(0, False, cutmix=1.0)
COUNTS = (12, 6, 3)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(5, 4, 3, SIDE, SIDE, generator=generator)
    return images, torch.tensor([[0, 1], [2, 2], [1, 0], [0, 0], [1, 2]])


@pytest.mark.parametrize("seed", range(6))
def test_one_share_mixes_both_views_and_weighs_both_labels(seed):
    images, targets = batch()
    before = images.clone()
    mixed, classes, weights = mix_views(images, targets, (MIXUP, CUTMIX), seed, 3)
    assert torch.equal(images, before)  # what it was given stays as it is
    assert torch.equal(classes, targets)
    share = float(weights[0, 0])
    assert 0 < share < 1
    assert weights.dtype == torch.float32
    assert torch.allclose(weights, torch.tensor([share, 1 - share]).expand(5, 2))
    own, partner = images[:, :2], images[:, 2:]
    assert torch.allclose(mixed[:, 0], share * own[:, 0] + (1 - share) * partner[:, 0], atol=1e-6)
    # A box of view 1 is the partner's, the rest the image's; it is the same box for all images and channels.
    of_partner = (mixed[:, 1] == partner[:, 1]).all(dim=(0, 1))
    assert torch.equal(of_partner, ~(mixed[:, 1] == own[:, 1]).all(dim=(0, 1)))
    rows, columns = of_partner.any(dim=1), of_partner.any(dim=0)
    assert torch.equal(of_partner, rows[:, None] & columns[None, :])
    assert of_partner.sum() <= SIDE**2 * (1 - share) + 1e-3  # clipped at the border, and rounded down


def test_the_share_is_drawn_from_a_beta_distribution():
    images, targets = batch()
    shares = np.array([float(mix_views(images, targets, (MIXUP, CUTMIX), n)[2][0, 0]) for n in range(400)])
    assert abs(shares.mean() - 0.5) < 0.05
    assert abs(shares.std() - 12**-0.5) < 0.02  # Beta(1, 1) is uniform
    sharp = [replace(MIXUP, mixup=50.0), replace(CUTMIX, cutmix=50.0)]
    assert abs(float(mix_views(images, targets, sharp, 0)[2][0, 0]) - 0.5) < 0.2


def test_the_same_seeds_draw_the_same():
    images, targets = batch()
    a, b, c = (mix_batch(images, targets, (MIXUP, CUTMIX), 1, n)[0] for n in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_batches_without_partners_are_mixed_within():
    images = torch.rand(4, 3, SIDE, SIDE)
    plain = (Augmentation(0, False),)
    assert mix_batch(images, torch.arange(4), plain, 0)[2] is None
    assert mix_batch(images.clone(), torch.arange(4), (MIXUP,), 0)[1].tolist() == [[0, 3], [1, 2], [2, 1], [3, 0]]


def data():
    """Images whose first pixel tells which one it is."""
    labels = torch.repeat_interleave(torch.arange(len(COUNTS)), torch.tensor(COUNTS))
    images = torch.zeros(len(labels), SIDE, SIDE, 3, dtype=torch.uint8)
    images[:] = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None] * 10
    return LabelledImages(images, labels)


def settings(power=0.0, views=(MIXUP, CUTMIX), batch_size=4):
    return BatchSettings(DATASETS["cifar10"], views, batch_size, 3, partners=InversePowerSampler(power))


def which(images):
    """Tell the images apart again, from their brightness in the first channel."""
    mean, std = (values[0] * 255 for values in (DATASETS["cifar10"].mean, DATASETS["cifar10"].std))
    return ((images[:, :, 0].amax(dim=(2, 3)) * std + mean) / 10).round().long()


def test_each_image_gets_a_partner_of_the_second_stream_in_every_view():
    batches = TrainBatches(data(), settings(), Delivery(CPU))
    labels, found = data().labels, []
    for images, targets in batches.epoch(2):
        assert images.shape[1:] == (4, 3, SIDE, SIDE)
        own, again, partner, partner_again = which(images).T
        assert torch.equal(own, again)
        assert torch.equal(partner, partner_again)
        assert torch.equal(targets, torch.stack([labels[own], labels[partner]], dim=1))
        found.append(torch.stack([own, partner]))
    own, partner = torch.cat(found, dim=1)
    assert sorted(own.tolist()) == list(range(21))
    assert len(set(partner.tolist())) < 21  # drawn with replacement
    (images, _), *_ = batches.epoch(2, first=1)
    assert torch.equal(which(images)[:, 0], own[4:8])
    assert torch.equal(which(images)[:, 2], partner[4:8])


def test_images_and_their_order_do_not_depend_on_partners():
    alone = TrainBatches(data(), replace(settings(), partners=None), Delivery(CPU))
    mixed = TrainBatches(data(), settings(), Delivery(CPU))
    for (images, targets), (both, labels) in zip(alone.epoch(1), mixed.epoch(1), strict=True):
        assert torch.equal(images, both[:, :2])
        assert torch.equal(targets, labels[:, 0])


def test_processes_share_a_batch():
    whole = list(TrainBatches(data(), settings(), Delivery(CPU)).epoch(0))
    shares = [list(TrainBatches(data(), settings(), Delivery(CPU, process=p, processes=2)).epoch(0)) for p in (0, 1)]
    for number, (images, targets) in enumerate(whole):
        for process in (0, 1):
            assert torch.equal(shares[process][number][0], images[process::2])
            assert torch.equal(shares[process][number][1], targets[process::2])
            mixed = mix_batch(*shares[process][number], (MIXUP, CUTMIX), 0, 0, 3, number)
            for part, of_whole in zip(mixed, mix_batch(images, targets, (MIXUP, CUTMIX), 0, 0, 3, number), strict=True):
                assert torch.equal(part, of_whole[process::2])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_class_is_drawn_in_proportion_to_a_power_of_its_count(power):
    labels = data().labels
    generator = torch.Generator().manual_seed(0)
    sampler = InversePowerSampler(power)
    drawn = torch.cat([sampler.order(labels, 4, generator) for _ in range(800)])
    assert len(drawn) == 800 * sampler.length(len(labels), 4) == 800 * 21
    wanted = np.array([n * n**-power for n in COUNTS])
    shares = torch.bincount(labels[drawn], minlength=3).numpy() / len(drawn)
    assert np.abs(shares - wanted / wanted.sum()).max() < 0.02
    within = torch.bincount(drawn, minlength=21)[:12].numpy() / len(drawn)
    assert np.abs(within / within.sum() - 1 / 12).max() < 0.02  # images of a class equally often


@pytest.mark.parametrize("power", [-0.1, float("inf")])
def test_a_power_that_is_none_is_refused(power):
    with pytest.raises(ValueError, match="power must be finite and not below 0"):
        InversePowerSampler(power)


def whole(batches):
    images, targets = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(targets)


def test_decoded_images_get_the_partners_that_they_get_in_memory():
    in_memory = TrainBatches(data(), settings(power=0.5), Delivery(CPU))
    decoded = TrainLoader(data(), settings(power=0.5), Delivery(CPU))
    assert decoded.sizes == [4, 4, 4, 4, 5]
    for epoch in (0, 1):
        (images, targets), (decoded_images, decoded_targets) = (whole(b.epoch(epoch)) for b in (in_memory, decoded))
        assert torch.equal(targets, decoded_targets) and targets.shape == (21, 2)
        assert torch.allclose(images, decoded_images, atol=1e-5) and images.shape == (21, 4, 3, SIDE, SIDE)
        last = whole(decoded.epoch(epoch, first=4))
        assert torch.equal(last[0], decoded_images[16:]) and torch.equal(last[1], targets[16:])


TURNED = (replace(MIXUP, rotation=15.0, color_jitter=0.4), replace(CUTMIX, rotation=15.0, color_jitter=0.4))


def drawn(**options):
    """Decoded batches of smooth pictures whose views are drawn."""
    given = options.pop("settings", settings(views=TURNED))
    return make_train_batches(Made(21), given, Delivery(CPU, **options))


def test_views_of_images_do_not_depend_on_partners_and_partners_are_drawn_apart():
    assert isinstance(drawn(), TrainLoader)
    images, targets = whole(drawn().epoch(1))
    alone, labels = whole(drawn(settings=replace(settings(views=TURNED), partners=None)).epoch(1))
    assert torch.equal(images[:, :2], alone) and torch.equal(targets[:, 0], labels)
    views = images.flatten(0, 1)
    assert len(torch.unique(views, dim=0)) == len(views)  # of 21 images, each drawn at least once


def test_partners_count_in_the_shared_memory_that_workers_need(monkeypatch):
    # A worker keeps two batches of at most 5 pairs in two views: twice as much as without partners.
    needed = 2 * 5 * 2 * 2 * 3 * SIDE**2
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=needed))
    next(drawn(workers=1).epoch(0))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(InputError, match="1 decoding processes need"):
        next(drawn(workers=1).epoch(0))


def test_workers_and_processes_change_no_view_of_a_partner():
    here = list(drawn().epoch(2))
    assert all(torch.equal(*pair) for pair in zip(whole(drawn(workers=2).epoch(2)), whole(here), strict=True))
    for process in (0, 1):
        for (images, targets), own in zip(here, drawn(process=process, processes=2).epoch(2), strict=True):
            assert torch.equal(own[0], images[process::2]) and torch.equal(own[1], targets[process::2])
