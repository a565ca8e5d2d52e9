"""Figures against numbers computed by hand, and their way through JSON."""

import json
from dataclasses import replace

import pytest
import torch

from ltzoo.data import Groups
from ltzoo.errors import InputError
from ltzoo.evaluate import Figures, Predictions, measure, measure_calibration
from tests.evaluate.conftest import COUNTS


def test_figures_are_those_computed_by_hand(figures):
    assert figures.overall == 50.0
    assert figures.top5 == 90.0
    assert figures.per_class == pytest.approx((200 / 3, 100, 50, 0, 50, 0))
    assert figures.groups["own"] == pytest.approx({"head": (200 / 3 + 100) / 2, "mid": 25, "tail": 25})
    assert figures.class_counts == COUNTS
    assert figures.images == 10
    assert figures.rule == "last epoch"


def test_the_calibration_error_stands_in_the_figures(figures, predictions):
    assert figures.ece == measure_calibration(predictions).ece
    assert json.loads(json.dumps(figures.to_dict()))["ece"] == figures.ece > 0


def test_groups_average_their_classes_and_an_empty_group_has_no_accuracy(figures):
    assert list(figures.groups) == ["own", "lop-sided", "half"]
    assert figures.own_groups == figures.groups["own"]
    assert figures.groups["lop-sided"]["mid"] is None
    assert figures.groups["lop-sided"]["tail"] == pytest.approx((100 + 50 + 0 + 50 + 0) / 5)
    assert set(figures.groups["half"]) == {"head", "tail"}


def test_four_classes_are_all_among_the_five_highest():
    logits = torch.eye(4)[[0, 1, 2, 3]].roll(1, 0)
    figures = measure(Predictions(logits, torch.arange(4)), (4, 3, 2, 1), [], "last epoch")
    assert (figures.overall, figures.top5) == (0.0, 100.0)


@pytest.mark.parametrize(("classes", "top5"), [(1, 100.0), (5, 100.0), (6, 500 / 6), (7, 500 / 7)])
def test_of_equal_logits_the_first_five_are_the_highest(classes, top5):
    figures = measure(Predictions(torch.zeros(classes, classes), torch.arange(classes)), range(1, classes + 1), [], "x")
    assert figures.top5 == pytest.approx(top5)
    assert figures.overall == pytest.approx(100 / classes)
    assert figures.per_class == (100.0, *[0.0] * (classes - 1))


def test_top5_is_that_of_the_sorted_logits():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 12, generator=generator).mul(2).round()  # some of them equal
    labels = torch.arange(200) % 12
    highest = logits.argsort(dim=1, descending=True, stable=True)[:, :5]
    figures = measure(Predictions(logits, labels), range(1, 13), [], "x")
    assert figures.top5 == 100 * float((highest == labels[:, None]).any(dim=1).double().mean())
    assert figures.overall == 100 * float((highest[:, 0] == labels).double().mean())


@pytest.mark.parametrize(
    ("logits", "labels", "grouping", "message"),
    [
        (torch.eye(3), [0, 1, 1], {}, "no test image has the label 2"),
        (torch.eye(3) / 0, [0, 1, 2], {}, "6 logits are NaN"),
        (torch.eye(3).log(), [0, 1, 2], {"head": (0, 1), "tail": (2,)}, "6 logits are not finite"),
        (torch.eye(3), [0, 1, 2], {"head": (0, 1)}, "the grouping omits class 2"),
        (torch.eye(3)[:, :2], [0, 1, 1], {}, "logits have 2 columns, num_classes is 3"),
    ],
)
def test_what_cannot_be_measured_is_refused(logits, labels, grouping, message):
    groupings = [Groups("r", grouping)] if grouping else []
    with pytest.raises(InputError, match=message):
        measure(Predictions(logits, torch.tensor(labels)), (3, 2, 1), groupings, "x")


def test_figures_come_back_from_json_and_further_keys_are_passed_over(figures):
    document = json.loads(json.dumps(figures.to_dict() | {"epoch": 3}))
    assert Figures.from_dict(document) == figures
    assert list(document["groups"]) == ["own", "lop-sided", "half"]
    assert document["groups"]["lop-sided"]["mid"] is None
    assert document["class_counts"] == list(COUNTS)
    assert {"overall", "groups", "per_class", "class_counts", "rule"} <= set(document)


def test_figures_from_before_the_calibration_error_can_still_be_read(figures):
    document = figures.to_dict()
    del document["ece"]
    assert Figures.from_dict(document) == replace(figures, ece=None)
