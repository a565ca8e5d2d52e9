"""Class weights against their formula."""

import pytest
import torch

from ltzoo.losses import DRW, NoReweighting

COUNTS = [5000, 500, 50]


def test_no_reweighting_weighs_everything_one():
    assert NoReweighting().weights(COUNTS, 199).tolist() == [1.0, 1.0, 1.0]


def test_drw_is_plain_before_it_starts_and_effective_numbers_after():
    drw = DRW(start=160, beta=0.9999)
    assert drw.weights(COUNTS, 159).tolist() == [1.0, 1.0, 1.0]
    raw = [1 / sum(0.9999**i for i in range(n)) for n in COUNTS]  # 1 / effective number, as a geometric series
    expected = [3 * value / sum(raw) for value in raw]
    torch.testing.assert_close(
        drw.weights(COUNTS, 160), torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize(("classes", "n_max", "mean"), [(100, 500, 0.20), (10, 5000, 0.17)])
def test_after_drw_begins_an_image_weighs_a_fifth(classes, n_max, mean):
    """Why the loss is a weighted mean: over the batch size, CIFAR's gradients would shrink five times."""
    counts = torch.tensor([int(n_max * 0.01 ** (j / (classes - 1))) for j in range(classes)])
    weights = DRW(start=0, beta=0.9999).weights(counts, 0)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(mean, abs=0.005)


@pytest.mark.parametrize("fields", [{"start": -1, "beta": 0.9}, {"start": 0, "beta": 1.0}])
def test_impossible_settings_are_refused(fields):
    with pytest.raises(ValueError, match="must"):
        DRW(**fields)
