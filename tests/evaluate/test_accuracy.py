"""Accuracy per class and group computed by hand, the confusion matrix against scikit-learn's, and bad input."""

import numpy as np
import pytest
import sklearn.metrics
import torch

from ltzoo.data import Groups
from ltzoo.errors import InputError
from ltzoo.evaluate import Predictions, class_accuracy, confusion_matrix, group_accuracy, write_confusion
from tests.evaluate.conftest import COUNTS


def test_class_accuracy_is_the_one_computed_by_hand(predictions):
    expected = pytest.approx((200 / 3, 100, 50, 0, 50, 0))
    assert class_accuracy(predictions.logits, predictions.labels) == expected
    assert class_accuracy(predictions.logits, predictions.labels, len(COUNTS)) == expected
    assert class_accuracy(predictions.logits.argmax(1), predictions.labels) == expected
    assert class_accuracy(predictions.logits.argmax(1).int(), predictions.labels.to(torch.uint8)) == expected
    assert class_accuracy(predictions.logits.numpy(), predictions.labels.tolist()) == expected


def test_class_accuracy_agrees_with_numpys():
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.arange(7), generator.integers(0, 7, 60)])
    logits = generator.normal(size=(67, 7)).round(1)  # some of them equal
    expected = [100 * np.mean(logits[labels == j].argmax(axis=1) == j) for j in range(7)]
    assert class_accuracy(torch.tensor(logits), torch.tensor(labels)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("logits", "labels", "num_classes", "message"),
    [
        (torch.eye(3), torch.tensor([0, 1, 1]), None, "no test image has the label 2;"),
        (torch.tensor([0, 1]), torch.tensor([0, 1]), 15, "label 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more;"),
        (torch.tensor([0, 2]), torch.tensor([0, 1]), None, "no test image has the label 2;"),
        (torch.eye(2), torch.arange(2), 3, "logits have 2 columns, num_classes is 3"),
        (torch.eye(2), torch.arange(3), None, r"shapes \(2, 2\) and \(3,\)"),
        (torch.eye(2), torch.eye(2), None, r"shapes \(2, 2\) and \(2, 2\)"),
        (torch.zeros(2, 2, 2), torch.arange(2), None, r"shapes \(2, 2, 2\)"),
        (torch.zeros(0, 2), torch.zeros(0), None, r"shapes \(0, 2\) and \(0,\)"),
        (torch.zeros(2, 0), torch.zeros(2), None, r"shapes \(2, 0\)"),
        (torch.tensor(1), torch.tensor(1), None, r"shapes \(\) and \(\)"),
        (torch.eye(2), torch.tensor([0.0, 1.0]), None, "labels are torch.float32"),
        (torch.tensor([0.2, 0.7]), torch.arange(2), None, "predicted classes are torch.float32"),
        (torch.eye(2), torch.tensor([False, True]), None, "labels are torch.bool"),
        (torch.eye(2), torch.tensor([0, 2]), None, "labels range from 0 to 2, but there are 2 classes"),
        (torch.eye(2), torch.tensor([-1, 1]), None, "labels range from -1 to 1"),
        (torch.tensor([0, 3]), torch.arange(2), 2, "predicted classes range from 0 to 3, but there are 2 classes"),
        (torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), torch.arange(2), None, "1 logits are NaN"),
    ],
)
def test_what_gives_no_class_accuracy_is_refused(logits, labels, num_classes, message):
    with pytest.raises(InputError, match=message) as caught:
        class_accuracy(logits, labels, num_classes)
    assert "\n" not in str(caught.value)


def test_groups_average_their_classes():
    assert group_accuracy([10, 20, 90], Groups("r", {"head": (2, 0), "tail": (1,)})) == {"head": 50.0, "tail": 20.0}
    mapping = {"many": np.array([2, 0]), "few": [1], "none": ()}
    assert group_accuracy((10, 20, 90), mapping) == {"many": 50.0, "few": 20.0, "none": None}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"head": (0,), "tail": (2,)}, "omits class 1, 3;"),
        ({"head": (), "tail": ()}, "omits class 0, 1, 2, 3; put each of the 4 classes"),
        ({"head": (0, 1), "tail": (1, 2, 3)}, "names twice class 1;"),
        ({"head": (0, 0, 1), "tail": (2, 3)}, "names twice class 0;"),
        ({"head": (0, 1), "tail": (2, 3, 4)}, "names the non-existent class 4;"),
        ({"head": (0, 1, -1), "tail": (2, 3)}, "names the non-existent class -1;"),
    ],
)
@pytest.mark.parametrize("kind", [dict, lambda classes: Groups("r", classes)], ids=["mapping", "Groups"])
def test_a_grouping_that_does_not_fit_is_refused(groups, message, kind):
    with pytest.raises(InputError, match=message) as caught:
        group_accuracy([1.0, 2.0, 3.0, 4.0], kind(groups))
    assert "\n" not in str(caught.value)


def test_the_confusion_matrix_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(80, 9, generator=generator)
    labels = torch.randint(0, 8, (80,), generator=generator)  # class 8 has no image
    found = confusion_matrix(Predictions(logits, labels))
    expected = sklearn.metrics.confusion_matrix(labels.numpy(), logits.numpy().argmax(axis=1), labels=list(range(9)))
    assert found.dtype == torch.int64
    assert np.array_equal(found.numpy(), expected)
    assert not np.array_equal(expected, expected.T)


def test_the_diagonal_of_the_confusion_matrix_is_the_accuracy_of_each_class(predictions):
    matrix = confusion_matrix(predictions)
    assert matrix[0].tolist() == [2, 1, 0, 0, 0, 0]
    accuracy = 100 * matrix.diagonal() / matrix.sum(dim=1)
    assert class_accuracy(predictions.logits, predictions.labels) == pytest.approx(accuracy.tolist())


def test_the_confusion_matrix_is_written_as_csv(tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text("what was there before")
    write_confusion(path, torch.tensor([[3, 1, 0], [0, 2, 0], [7, 0, 10]]))
    assert path.read_text() == "label,0,1,2\n0,3,1,0\n1,0,2,0\n2,7,0,10\n"
    write_confusion(path, torch.tensor([[3, 1], [0, 2]]), ("a", "b, c"))
    assert path.read_text() == 'label,a,"b, c"\na,3,1\n"b, c",0,2\n'
    assert [file.name for file in tmp_path.iterdir()] == ["confusion.csv"]
