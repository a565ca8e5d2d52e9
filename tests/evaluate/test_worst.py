"""The worst classes and what they are taken for, against a plain count over the images."""

from collections import Counter
from fractions import Fraction

import pytest
import torch

from ltzoo.evaluate import Predictions, WorstClass, confusion_matrix, worst_classes, worst_table


def plain(labels, predicted, most, confusions):
    """Counted image by image."""
    found = []
    for j in sorted(set(labels)):
        own = [guess for label, guess in zip(labels, predicted, strict=True) if label == j]
        others = Counter(guess for guess in own if guess != j)
        taken_for = sorted(others.items(), key=lambda pair: (-pair[1], pair[0]))[:confusions]
        found.append((Fraction(own.count(j), len(own)), j, len(own), tuple(taken_for)))
    return [(j, float(100 * share), images, others) for share, j, images, others in sorted(found)[:most]]


@pytest.mark.parametrize("most", [1, 10, 100])
@pytest.mark.parametrize("confusions", [1, 3])
def test_they_are_those_of_a_count_over_the_images(most, confusions):
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(12, (300,), generator=generator)
    labels[labels == 7] = 8  # a class without images
    logits = torch.randn(300, 12, generator=generator) + 2 * torch.nn.functional.one_hot(labels, 12)
    matrix = confusion_matrix(Predictions(logits, labels))
    found = worst_classes(matrix, most, confusions)
    expected = plain(labels.tolist(), logits.argmax(1).tolist(), most, confusions)
    assert [(one.index, one.images, one.taken_for) for one in found] == [(j, n, t) for j, _, n, t in expected]
    assert [one.accuracy for one in found] == pytest.approx([accuracy for _, accuracy, _, _ in expected])
    assert len(found) == min(most, 11)


def test_of_equal_classes_and_confusions_the_first_comes_first():
    matrix = torch.tensor([[2, 1, 1], [0, 4, 0], [2, 0, 2]])
    assert worst_classes(matrix, 3) == [
        WorstClass(0, 50.0, 4, ((1, 1), (2, 1))),
        WorstClass(2, 50.0, 4, ((0, 2),)),
        WorstClass(1, 100.0, 4, ()),
    ]


def test_the_table_has_names_and_both_numbers_of_images():
    matrix = torch.tensor([[2, 1, 1], [0, 4, 0], [1, 3, 0]])
    names = ("ant", "a class with a name of many letters", "be\x1bar")
    lines = worst_table(worst_classes(matrix, 3), names, (1200, 7, 3)).splitlines()
    escaped, long = "be\\x1bar", "a class with a name of many..."
    assert lines == [
        f"{'class':30}  accuracy  test images  training images  most often taken for (images)",
        f"{escaped:30}       0.0            4                3  {long} (3), ant (1)",
        f"{'ant':30}      50.0            4             1200  {long} (1), {escaped} (1)",
        f"{long}     100.0            4                7",
    ]
