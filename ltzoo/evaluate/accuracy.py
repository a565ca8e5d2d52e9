"""Accuracy of classes and of groups of classes, in per cent, from anybody's logits and labels."""

import operator
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ltzoo.data import Groups
from ltzoo.errors import InputError

GroupAccuracy = dict[str, float | None]
"""`head`, `mid`, `tail` to per cent; None for a group without a class."""


def class_accuracy(logits: Tensor, labels: Tensor, num_classes: int | None = None) -> tuple[float, ...]:
    """Compute the accuracy of each class: the share of its images for which it is predicted.

    Args:
        logits: (N, C), of which the highest is the prediction (the first of equal ones), or predicted classes (N,) of
            an integer type.
        labels: (N,) of an integer type, from 0 to C - 1.
        num_classes: C; unless given, the width of the logits, or one more than the highest class that occurs.

    Returns:
        (C,) accuracies in per cent.

    Raises:
        InputError: shapes or types do not fit, a logit is NaN, a class is out of range, or a class has no image.
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
    return share_right(predicted == labels, labels.long(), classes)


def check_shapes(logits: Tensor, labels: Tensor, num_classes: int | None) -> None:
    """Refuse what cannot be the logits, or the predicted classes, and the labels of at least one image."""
    if logits.ndim not in (1, 2) or labels.shape != logits.shape[:1] or not len(labels) or not logits[0].numel():
        found = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        raise InputError(f"logits and labels have the shapes {found}; give (N, C) or (N,), and (N,), of at least 1")
    if logits.ndim == 2 and num_classes not in (None, logits.shape[1]):
        raise InputError(f"logits have {logits.shape[1]} columns, num_classes is {num_classes}; give one number")


def check_numbers(logits: Tensor, *, finite: bool = False) -> None:
    """Refuse logits that are NaN or, if they must be `finite`, infinite; this reads them once and keeps nothing."""
    if not logits.is_floating_point():
        return
    ends = torch.stack(logits.aminmax())  # NaN, both, if any logit is
    if ends.isnan().any():
        raise InputError(f"{int(logits.isnan().sum())} logits are NaN, which predicts nothing; look at the weights")
    if finite and not ends.isfinite().all():
        count = int((~logits.isfinite()).sum())
        raise InputError(f"{count} logits are not finite, which gives no probability; look at weights and precision")


def check_range(name: str, values: Tensor, classes: int) -> None:
    """Refuse classes that are not there."""
    low, high = map(int, values.aminmax())
    if low < 0 or high >= classes:
        found = f"{low} to {high}"
        raise InputError(f"{name} go from {found}, but there are {classes} classes, counted from 0; check them")


def share_right(right: Tensor, labels: Tensor, classes: int) -> tuple[float, ...]:
    """Compute the share of each class's images that are predicted right.

    Args:
        right: (N,) bool.
        labels: (N,) int64.
        classes: C.

    Returns:
        (C,) accuracies in per cent.

    Raises:
        InputError: a class has no image.
    """
    images = torch.bincount(labels, minlength=classes)
    if not images.all():
        without = _listed(torch.nonzero(images == 0).flatten().tolist())
        raise InputError(f"no test image has the label {without}; measure on a test set that has every class")
    hits = torch.bincount(labels, weights=right.double(), minlength=classes)
    return tuple((100 * hits / images).tolist())


def group_accuracy(per_class: Sequence[float], groups: Groups | Mapping[str, Sequence[int]]) -> GroupAccuracy:
    """Average the accuracies of each group's classes.

    Args:
        per_class: (C,) accuracy of each class.
        groups: the grouping: each class is in one group.

    Returns:
        Group name to the mean of its classes' accuracies, in their unit; None for a group without a class.

    Raises:
        InputError: the grouping leaves a class out, names one twice, or names one that is not there.
    """
    by_name = groups.classes if isinstance(groups, Groups) else groups
    grouped = {name: [operator.index(j) for j in classes] for name, classes in by_name.items()}
    named = Counter(j for classes in grouped.values() for j in classes)
    there = range(len(per_class))
    for fault, found in (
        ("leaves out", [j for j in there if j not in named]),
        ("names twice", [j for j in sorted(named) if named[j] > 1]),
        ("names, where there is none,", [j for j in sorted(named) if j not in there]),
    ):
        if found:
            raise InputError(
                f"the grouping {fault} class {_listed(found)}; "
                f"put each of the {len(there)} classes, counted from 0, into one group"
            )
    return {
        name: sum(per_class[j] for j in classes) / len(classes) if classes else None
        for name, classes in grouped.items()
    }


def _listed(classes: Sequence[int]) -> str:
    """Name up to ten classes."""
    more = f" and {len(classes) - 10} more" if len(classes) > 10 else ""
    return ", ".join(map(str, classes[:10])) + more
