"""Expected calibration error: by hand, against a plain loop, and where bins begin and end."""

import math

import numpy as np
import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.evaluate import Predictions, measure_calibration


def of_two_classes(confidences, right):
    """Predictions whose highest probability is given: of class 0, which is the label where `right`."""
    p = torch.tensor(confidences, dtype=torch.float64)
    logits = torch.stack([p.log(), (1 - p).log()], dim=1)
    return Predictions(logits, torch.tensor([0 if hit else 1 for hit in right]))


def test_the_error_is_the_one_computed_by_hand():
    # Bins of a tenth: two images in (0.5, 0.6], one of them right; three in (0.8, 0.9], all right.
    found = measure_calibration(of_two_classes([0.55, 0.59, 0.85, 0.87, 0.89], [1, 0, 1, 1, 1]), bins=10)
    assert found.counts == (0, 0, 0, 0, 0, 2, 0, 0, 3, 0)
    assert found.confidence[5] == pytest.approx(57)
    assert found.accuracy[5] == 50
    assert found.confidence[8] == pytest.approx(87)
    assert found.accuracy[8] == 100
    assert [m for m in range(10) if found.confidence[m] is None] == [0, 1, 2, 3, 4, 6, 7, 9]
    assert found.ece == pytest.approx(2 / 5 * 7 + 3 / 5 * 13)


def test_it_agrees_with_a_plain_loop():
    generator = np.random.default_rng(0)
    logits = 2 * generator.normal(size=(500, 6))
    labels = generator.integers(0, 6, 500)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = 0.0
    for m in range(15):
        inside = [k for k in range(500) if m / 15 < probabilities[k].max() <= (m + 1) / 15]
        if inside:
            confidence = sum(probabilities[k].max() for k in inside) / len(inside)
            accuracy = sum(probabilities[k].argmax() == labels[k] for k in inside) / len(inside)
            error += len(inside) / 500 * abs(accuracy - confidence)
    found = measure_calibration(Predictions(torch.tensor(logits), torch.tensor(labels)))
    assert len(found.counts) == 15
    assert sum(found.counts) == 500
    assert found.ece == pytest.approx(100 * error, abs=1e-10)


def test_perfect_calibration_has_no_error_and_certain_mistakes_have_it_all():
    perfect = Predictions(torch.tensor([[math.log(3), 0.0]] * 4, dtype=torch.float64), torch.tensor([0, 0, 0, 1]))
    assert measure_calibration(perfect).ece == pytest.approx(0, abs=1e-12)
    assert measure_calibration(Predictions(torch.zeros(2, 2), torch.tensor([0, 1]))).ece == 0
    wrong = Predictions(torch.tensor([[1000.0, 0.0]] * 3), torch.ones(3, dtype=torch.int64))
    assert measure_calibration(wrong).ece == 100
    assert measure_calibration(wrong).counts == (*[0] * 14, 3)


@pytest.mark.parametrize(("classes", "bins", "place"), [(2, 2, 0), (2, 4, 1), (4, 4, 0), (5, 15, 2), (1, 15, 14)])
def test_a_bin_is_open_on_the_left_and_closed_on_the_right(classes, bins, place):
    found = measure_calibration(Predictions(torch.zeros(1, classes), torch.tensor([0])), bins)  # confidence 1 / classes
    assert found.counts[place] == 1
    assert found.confidence[place] == pytest.approx(100 / classes)


def test_one_bin_compares_the_means():
    found = measure_calibration(of_two_classes([0.6, 0.8, 0.9], [1, 0, 1]), bins=1)
    assert found.ece == pytest.approx(abs(100 * 2 / 3 - 100 * 2.3 / 3))


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="1 logits are not finite"):
        measure_calibration(Predictions(torch.tensor([[torch.inf, 0.0]]), torch.tensor([0])))
