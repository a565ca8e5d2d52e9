"""Cutout against its definition pixel by pixel, and flips that alternate from epoch to epoch, in memory and decoded."""

import pytest
import torch

from ltzoo.data import Augmentation, get_benchmark
from ltzoo.data.batches import BatchSettings, Delivery
from ltzoo.data.batches.decoded import TrainLoader
from ltzoo.data.batches.in_memory import TrainBatches, cut_out
from ltzoo.data.memory import LabelledImages

SIZE = 16
CPU = Delivery(torch.device("cpu"))


def labelled(count=40):
    images = torch.randint(
        1, 256, (count, SIZE, SIZE, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    return LabelledImages(images, torch.zeros(count, dtype=torch.int64))


def settings(seed=0, **augmentation):
    data_set = get_benchmark("digitslt").data_set
    return BatchSettings(data_set, (Augmentation(0, False, **augmentation),), 16, seed)


def pixels(batches, epoch):
    """The images of an epoch as stored pixels, by the order in which they are stored."""
    data_set = get_benchmark("digitslt").data_set
    images = torch.cat([images for images, _ in batches.epoch(epoch)])
    return (images * torch.tensor(data_set.std) * 255 + torch.tensor(data_set.mean) * 255).round().squeeze(1)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 20])
def test_cutout_blacks_out_the_square_around_its_centre_and_nothing_else(side):
    images = torch.full((SIZE * SIZE, SIZE, SIZE, 2), 9, dtype=torch.uint8)
    places = torch.arange(SIZE * SIZE)
    rows, columns = places // SIZE, places % SIZE
    found = cut_out(images, side, rows, columns)
    for image, row, column in zip(found, rows.tolist(), columns.tolist(), strict=True):
        top, left = row - side // 2, column - side // 2
        for y in range(SIZE):
            for x in range(SIZE):
                inside = top <= y < top + side and left <= x < left + side
                assert image[y, x].tolist() == ([0, 0] if inside else [9, 9])
    assert images.min() == 9


@pytest.mark.parametrize("kind", [TrainBatches, TrainLoader])
def test_batches_have_one_square_for_each_image_with_centres_everywhere(kind):
    data = labelled(400)
    images = pixels(kind(data, settings(cutout=2), CPU), 0)
    black = (images == 0).sum((1, 2))
    assert set(black.tolist()) <= {1, 2, 4}  # a corner, an edge, or the whole square
    assert (black == 4).float().mean() == pytest.approx((SIZE - 1) ** 2 / SIZE**2, abs=0.1)
    # Centres are uniform: a pixel is black if the centre is one of four pixels, fewer in the last row and column.
    assert (images == 0).float().mean(0)[:-1, :-1].flatten().tolist() == pytest.approx(
        [4 / SIZE**2] * (SIZE - 1) ** 2, abs=0.04
    )


@pytest.mark.parametrize("kind", [TrainBatches, TrainLoader])
def test_each_image_is_mirrored_in_every_other_epoch(kind):
    data = labelled()
    batches = kind(data, settings(alternate_flip=True), CPU)
    stored = {tuple(image.flatten().tolist()): k for k, image in enumerate(data.images.squeeze(-1).float())}

    def mirrored(epoch):
        found = {}
        for image in pixels(batches, epoch):
            plain = stored.get(tuple(image.flatten().tolist()))
            turned = stored.get(tuple(image.flip(1).flatten().tolist()))
            assert (plain is None) != (turned is None)
            found[turned if plain is None else plain] = plain is None
        return [found[k] for k in range(len(data.labels))]

    first, second, third = (mirrored(epoch) for epoch in range(3))
    assert first == third
    assert second == [not flip for flip in first]
    assert 8 < sum(first) < 32
    other_seed = kind(data, settings(seed=1, alternate_flip=True), CPU)
    batches = other_seed
    assert mirrored(0) != first


@pytest.mark.parametrize("kind", [TrainBatches, TrainLoader])
def test_the_same_epoch_is_drawn_alike_twice_and_another_one_otherwise(kind):
    batches = kind(labelled(), settings(alternate_flip=True, cutout=3), CPU)
    assert torch.equal(pixels(batches, 1), pixels(batches, 1))
    assert not torch.equal(pixels(batches, 1), pixels(batches, 3))


def test_two_ways_to_mirror_are_refused():
    with pytest.raises(ValueError, match="choose one"):
        Augmentation(0, True, alternate_flip=True)
    with pytest.raises(ValueError, match="cutout must be 0 or above"):
        Augmentation(0, False, cutout=-1)
