"""Figures against numbers computed by hand, and their way through JSON."""

import json

import pytest
import torch

from ltzoo.data import Groups
from ltzoo.evaluate import Figures, Predictions, group_accuracy, measure
from tests.evaluate.conftest import COUNTS


def test_figures_are_those_computed_by_hand(figures):
    assert figures.overall == 50.0
    assert figures.top5 == 90.0
    assert figures.per_class == pytest.approx((200 / 3, 100, 50, 0, 50, 0))
    assert figures.groups["own"] == pytest.approx({"head": (200 / 3 + 100) / 2, "mid": 25, "tail": 25})
    assert figures.class_counts == COUNTS
    assert figures.images == 10
    assert figures.rule == "last epoch"


def test_groups_average_their_classes_and_an_empty_group_has_no_accuracy(figures):
    assert list(figures.groups) == ["own", "lop-sided", "half"]
    assert figures.own_groups == figures.groups["own"]
    assert figures.groups["lop-sided"]["mid"] is None
    assert figures.groups["lop-sided"]["tail"] == pytest.approx((100 + 50 + 0 + 50 + 0) / 5)
    assert set(figures.groups["half"]) == {"head", "tail"}
    assert group_accuracy([10, 20, 90], Groups("r", {"head": (2, 0), "tail": (1,)})) == {"head": 50.0, "tail": 20.0}


def test_four_classes_are_all_among_the_five_highest():
    logits = torch.eye(4)[[0, 1, 2, 3]].roll(1, 0)
    figures = measure(Predictions(logits, torch.arange(4)), (4, 3, 2, 1), [], "last epoch")
    assert (figures.overall, figures.top5) == (0.0, 100.0)


def test_figures_come_back_from_json_and_further_keys_are_passed_over(figures):
    document = json.loads(json.dumps(figures.to_dict() | {"epoch": 3}))
    assert Figures.from_dict(document) == figures
    assert list(document["groups"]) == ["own", "lop-sided", "half"]
    assert document["groups"]["lop-sided"]["mid"] is None
    assert document["class_counts"] == list(COUNTS)
    assert {"overall", "groups", "per_class", "class_counts", "rule"} <= set(document)
