"""Class weights against their formula."""

import pytest
import torch

from ltzoo.losses import DRW, REWEIGHTINGS, ClassBalanced, InversePower, NoReweighting

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


def test_beta_one_is_the_inverse_of_the_counts():
    expected = torch.tensor([3 / n / sum(1 / m for m in COUNTS) for n in COUNTS], dtype=torch.float64)
    torch.testing.assert_close(DRW(start=0, beta=1.0).weights(COUNTS, 0), expected, rtol=1e-14, atol=0)
    # The limit: nothing jumps at 1.
    torch.testing.assert_close(DRW(start=0, beta=1 - 1e-9).weights(COUNTS, 0), expected, rtol=1e-4, atol=0)


def test_class_balanced_weighs_from_the_first_epoch_on():
    found = ClassBalanced(beta=0.999).weights(COUNTS, 0)
    assert torch.equal(found, DRW(start=7, beta=0.999).weights(COUNTS, 7))
    assert ClassBalanced(beta=0.0).weights(COUNTS, 0).tolist() == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0, 1.2])
def test_the_inverse_power_is_its_formula(rho):
    raw = [(n / sum(COUNTS)) ** -rho for n in COUNTS]
    expected = torch.tensor([3 * value / sum(raw) for value in raw], dtype=torch.float64)
    torch.testing.assert_close(InversePower(rho).weights(COUNTS, 0), expected, rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="rho must be finite and not below 0, not -1"):
        InversePower(-1)


def test_a_large_exponent_leaves_the_rarest_class_alone():
    assert InversePower(400.0).weights([1000, 1], 0).tolist() == [0.0, 2.0]


def test_names_are_the_recipes_words():
    assert list(REWEIGHTINGS) == ["none", "cb", "inverse_power", "drw"]


@pytest.mark.parametrize("fields", [{"start": -1, "beta": 0.9}, {"start": 0, "beta": 1.1}, {"start": 0, "beta": -0.1}])
def test_impossible_settings_are_refused(fields):
    with pytest.raises(ValueError, match="must"):
        DRW(**fields)
