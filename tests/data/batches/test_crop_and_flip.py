"""Crop and flip against torchvision's, and the distribution of the draws."""

import pytest
import torch
from scipy.stats import chisquare
from torchvision.transforms import functional

from ltzoo.data import Augmentation
from ltzoo.data.batches.in_memory import crop_and_flip, draw_crops, pad


@pytest.mark.parametrize(("padding", "size"), [(0, 3), (1, 4), (4, 5)])
def test_every_offset_and_flip_equals_torchvisions_pad_crop_and_flip(padding, size):
    images = torch.randint(1, 256, (3, size, size, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    places = 2 * padding + 1
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(places), torch.arange(places), torch.arange(2))
    chosen, rows, columns, flips = cells.unbind(1)
    found = crop_and_flip(pad(images, padding), chosen, rows, columns, flips.bool(), size)
    assert found.dtype == torch.uint8
    for (image, row, column, flip), ours in zip(cells.tolist(), found, strict=True):
        theirs = functional.pad(images[image].permute(2, 0, 1), [padding])
        theirs = functional.crop(theirs, row, column, size, size)
        theirs = functional.hflip(theirs) if flip else theirs
        assert torch.equal(ours.permute(2, 0, 1), theirs), (image, row, column, flip)


def test_offsets_and_flips_are_uniform_and_independent():
    count = 162 * 200
    rows, columns, flips = draw_crops(count, Augmentation(4, True), torch.Generator().manual_seed(0))
    cells = torch.bincount(rows * 18 + columns * 2 + flips, minlength=162)
    assert len(cells) == 162
    for counts in (cells, *(torch.bincount(values.long()) for values in (rows, columns, flips))):
        assert 0.001 < chisquare(counts.numpy()).pvalue < 0.999


def test_without_flip_nothing_is_mirrored_and_without_padding_nothing_moves():
    rows, _, flips = draw_crops(1000, Augmentation(2, False), torch.Generator().manual_seed(0))
    assert not flips.any()
    assert set(rows.tolist()) == set(range(5))
    rows, columns, flips = draw_crops(1000, Augmentation(0, True), torch.Generator().manual_seed(0))
    assert not rows.any()
    assert not columns.any()
    assert 400 < flips.sum() < 600


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="at least 0 pixels, not -1"):
        Augmentation(-1, True)
