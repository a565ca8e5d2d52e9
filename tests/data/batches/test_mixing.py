"""Mixup and CutMix: images and how much of each class is in them."""

import pytest
import torch

from ltzoo.data import Augmentation
from ltzoo.data.batches import mix

PLAIN = Augmentation(0, False)


def batch(count, size=8):
    """Image i holds the number i + 1 everywhere, so that a mixture can be read off."""
    numbers = torch.arange(1.0, count + 1)
    return numbers[:, None, None, None].expand(count, 3, size, size).clone(), torch.arange(count)


def test_nothing_is_mixed_where_nothing_is_asked():
    images, targets = batch(4)
    assert mix(images, targets, PLAIN, 0)[1:] == (targets, None)


@pytest.mark.parametrize("augmentation", [Augmentation(0, False, mixup=0.8), Augmentation(0, False, cutmix=1.0)])
@pytest.mark.parametrize("count", [2, 5, 6])
def test_weights_say_what_is_in_the_pixels(augmentation, count):
    for seed in range(8):
        images, targets = batch(count)
        mixed, classes, weights = mix(images, targets, augmentation, 3, seed)
        assert torch.equal(classes, torch.stack([targets, targets.flip(0)], 1))
        assert torch.allclose(weights.sum(1), torch.ones(count)) and bool((weights >= 0).all())
        mean = (weights * (classes + 1)).sum(1)
        assert torch.allclose(mixed.mean(dim=(1, 2, 3)), mean, atol=1e-4)


def test_an_odd_image_and_a_lone_one_stay_as_they_are():
    images, targets = batch(5)
    mixed, _, weights = mix(images, targets, Augmentation(0, False, mixup=1.0), 0)
    assert bool((mixed[2] == 3).all()) and weights[2].tolist() == [1.0, 0.0]
    lone, targets = batch(1)
    mixed, classes, weights = mix(lone, targets, Augmentation(0, False, mixup=1.0), 0)
    assert bool((mixed == 1).all()) and classes.tolist() == [[0, 0]] and weights.tolist() == [[1.0, 0.0]]


def test_draws_follow_from_the_numbers_alone():
    mixup = Augmentation(0, False, mixup=1.0)
    one, other, third = (mix(*batch(6), mixup, *seeds)[0] for seeds in ((1, 2), (1, 2), (1, 3)))
    assert torch.equal(one, other) and not torch.equal(one, third)


def test_both_take_turns():
    both = Augmentation(0, False, mixup=1.0, cutmix=1.0)
    kinds = {bool((mix(*batch(2), both, seed)[0][0] % 1 == 0).all()) for seed in range(20)}
    assert kinds == {True, False}  # CutMix leaves whole numbers, mixup does not


def test_mixing_ends_at_its_epoch_which_scales_with_the_training():
    ends = Augmentation(0, False, cutmix=1.0, mixup_off_epoch=8)
    assert [ends.in_epoch(epoch).cutmix for epoch in (0, 7, 8, 9)] == [1.0, 1.0, 0.0, 0.0]
    assert ends.in_epoch(8) == PLAIN and ends.in_epoch(7) == ends
    assert ends.scaled(25, of=10).mixup_off_epoch == 20 and ends.scaled(1, of=10).in_epoch(0) == PLAIN
    assert PLAIN.scaled(25, of=10) == PLAIN.in_epoch(99) == PLAIN


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mixup_off_epoch": 3}, r"mixup_off_epoch 3 \(--mixup-off-epoch\) has no effect without mixup and CutMix"),
        ({"mixup": 1.0, "mixup_off_epoch": -1}, "mixup_off_epoch must be 0 or above, not -1"),
    ],
)
def test_an_end_of_nothing_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Augmentation(0, False, **fields)
