"""The confusion matrix: which class is taken for which."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from ltzoo.atomic_write import atomic_write
from ltzoo.evaluate.predict import Predictions


def confusion_matrix(predictions: Predictions) -> Tensor:
    """Count the images of each label by the class that is predicted for them.

    Args:
        predictions: logits (N, C) and labels of the test images.

    Returns:
        (C, C) int64: rows are labels, columns predicted classes.
    """
    classes = predictions.logits.shape[1]
    pairs = classes * predictions.labels + predictions.predicted
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def write_confusion(path: Path, matrix: Tensor) -> None:
    """Write the counts as CSV: a row a label, a column a predicted class, both named by their indices.

    Args:
        path: the file; it is replaced as a whole.
        matrix: (C, C) counts, as `confusion_matrix` gives them.
    """
    with atomic_write(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", *range(len(matrix))])
        writer.writerows([label, *row.tolist()] for label, row in enumerate(matrix))
