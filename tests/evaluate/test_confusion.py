"""The confusion matrix against scikit-learn's, and its way through CSV."""

import numpy as np
import pytest
import sklearn.metrics
import torch

from ltzoo.evaluate import Predictions, class_accuracy, confusion_matrix, write_confusion


def test_it_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(80, 9, generator=generator)
    labels = torch.randint(0, 8, (80,), generator=generator)  # class 8 has no image
    found = confusion_matrix(Predictions(logits, labels))
    expected = sklearn.metrics.confusion_matrix(labels.numpy(), logits.numpy().argmax(axis=1), labels=list(range(9)))
    assert found.dtype == torch.int64
    assert np.array_equal(found.numpy(), expected)
    assert not np.array_equal(expected, expected.T)


def test_its_diagonal_is_the_accuracy_of_each_class(predictions):
    matrix = confusion_matrix(predictions)
    assert matrix[0].tolist() == [2, 1, 0, 0, 0, 0]
    accuracy = 100 * matrix.diagonal() / matrix.sum(dim=1)
    assert class_accuracy(predictions.logits, predictions.labels) == pytest.approx(accuracy.tolist())


def test_the_counts_are_written_as_csv(tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text("what was there before")
    write_confusion(path, torch.tensor([[3, 1, 0], [0, 2, 0], [7, 0, 10]]))
    assert path.read_text() == "label,0,1,2\n0,3,1,0\n1,0,2,0\n2,7,0,10\n"
    assert [file.name for file in tmp_path.iterdir()] == ["confusion.csv"]
