"""Accuracy per class and per group of classes, in per cent, and the confusion matrix, from logits and labels."""

import csv
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ltzoo.atomic_write import atomic_write
from ltzoo.data import Groups
from ltzoo.errors import InputError
from ltzoo.evaluate.predict import Predictions

GroupAccuracy = dict[str, float | None]
"""Accuracy of `head`, `mid` and `tail` in per cent; None for a group without classes."""


def class_accuracy(logits: Tensor, labels: Tensor, num_classes: int | None = None) -> tuple[float, ...]:
    """Compute the accuracy of each class: the share of its images that are predicted correctly.

    Args:
        logits: (N, C), the highest being the prediction (the first of equal ones); or predicted classes (N,) of an
            integer type.
        labels: (N,) of an integer type, from 0 to C - 1.
        num_classes: C; by default the width of the logits, or one more than the highest class that occurs.

    Returns:
        (C,) accuracies in per cent.

    Raises:
        InputError: shapes or types do not match, a logit is NaN, a class is out of range, or a class has no image.
    """
    logits, labels = torch.as_tensor(logits).cpu(), torch.as_tensor(labels).cpu()
    check_shapes(logits, labels, num_classes)
    check_numbers(logits)
    predicted = logits if logits.ndim == 1 else logits.argmax(dim=1)
    for name, values in (("predicted classes", predicted), ("labels", labels)):
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise InputError(f"{name} are {values.dtype}; give class indices of an integer type")
    classes = logits.shape[1] if logits.ndim == 2 else num_classes
    if classes is None:
        classes = 1 + max(int(predicted.max()), int(labels.max()))
    check_range("predicted classes", predicted, classes)
    check_range("labels", labels, classes)
    return class_shares(predicted == labels, labels.long(), classes)


def check_shapes(logits: Tensor, labels: Tensor, num_classes: int | None) -> None:
    """Raise unless these are the logits or predicted classes, and the labels, of at least one image."""
    if logits.ndim not in (1, 2) or labels.shape != logits.shape[:1] or not len(labels) or not logits[0].numel():
        found = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise InputError(f"logits and labels have the shapes {found}; give (N, C) or (N,), and (N,), with N >= 1")
    if logits.ndim == 2 and num_classes not in (None, logits.shape[1]):
        raise InputError(f"logits have {logits.shape[1]} columns, num_classes is {num_classes}; make them equal")


def check_numbers(logits: Tensor, *, finite: bool = False) -> None:
    """Raise if a logit is NaN or, with `finite`, infinite; nothing of the logits' size is allocated."""
    if not logits.is_floating_point():
        return
    ends = torch.stack(logits.aminmax())  # both are NaN if any logit is
    if ends.isnan().any():
        raise InputError(f"{int(logits.isnan().sum())} logits are NaN, so there is no prediction; check the weights")
    if finite and not ends.isfinite().all():
        count = int((~logits.isfinite()).sum())
        raise InputError(f"{count} logits are not finite, so there are no probabilities; check weights and precision")


def check_range(name: str, values: Tensor, classes: int) -> None:
    """Raise if a class is out of range."""
    low, high = map(int, values.aminmax())
    if low < 0 or high >= classes:
        found = f"{low} to {high}"
        raise InputError(f"{name} range from {found}, but there are {classes} classes, counted from 0; check them")


def class_shares(correct: Tensor, labels: Tensor, classes: int) -> tuple[float, ...]:
    """Compute the share of correctly predicted images of each class.

    Args:
        correct: (N,) bool.
        labels: (N,) int64.
        classes: C.

    Returns:
        (C,) accuracies in per cent.

    Raises:
        InputError: a class has no image.
    """
    images = torch.bincount(labels, minlength=classes)
    if not images.all():
        without = _list(torch.nonzero(images == 0).flatten().tolist())
        raise InputError(f"no test image has the label {without}; evaluate on a test set that has every class")
    hits = torch.bincount(labels, weights=correct.double(), minlength=classes)
    return tuple((100 * hits / images).tolist())


def group_accuracy(per_class: Sequence[float], groups: Groups | Mapping[str, Sequence[int]]) -> GroupAccuracy:
    """Average the class accuracies within each group.

    Args:
        per_class: (C,) accuracy of each class.
        groups: the grouping, with each class in exactly one group.

    Returns:
        Mean class accuracy of each group, in the unit of `per_class`; None for a group without classes.

    Raises:
        InputError: the grouping omits a class, names one twice, or names one that does not exist.
    """
    by_name = groups.classes if isinstance(groups, Groups) else groups
    grouped = {name: [operator.index(j) for j in classes] for name, classes in by_name.items()}
    named = Counter(j for classes in grouped.values() for j in classes)
    existing = range(len(per_class))
    for fault, found in (
        ("omits", [j for j in existing if j not in named]),
        ("names twice", [j for j in sorted(named) if named[j] > 1]),
        ("names the non-existent", [j for j in sorted(named) if j not in existing]),
    ):
        if found:
            raise InputError(
                f"the grouping {fault} class {_list(found)}; "
                f"put each of the {len(existing)} classes, counted from 0, into exactly one group"
            )
    return {
        name: sum(per_class[j] for j in classes) / len(classes) if classes else None
        for name, classes in grouped.items()
    }


def confusion_matrix(predictions: Predictions) -> Tensor:
    """Count the images for each pair of label and predicted class.

    Args:
        predictions: logits (N, C) and labels of the test images.

    Returns:
        (C, C) int64: rows are labels, columns are predicted classes.
    """
    classes = predictions.logits.shape[1]
    pairs = classes * predictions.labels + predictions.predicted
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def write_confusion(path: Path, matrix: Tensor, class_names: Sequence[str] | None = None) -> None:
    """Write the counts as CSV, one row per label and one column per predicted class.

    Args:
        path: the file; replaced atomically.
        matrix: (C, C) counts from `confusion_matrix`.
        class_names: C names, which head rows and columns; None for class indices.
    """
    names = range(len(matrix)) if class_names is None else class_names
    with atomic_write(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", *names])
        writer.writerows([label, *row] for label, row in zip(names, matrix.tolist(), strict=True))


def _list(classes: Sequence[int]) -> str:
    """List up to ten classes."""
    more = f" and {len(classes) - 10} more" if len(classes) > 10 else ""
    return ", ".join(map(str, classes[:10])) + more
