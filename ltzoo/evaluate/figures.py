"""Figures: from predictions to accuracies in per cent. All of them derive from the raw accuracy of each class."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ltzoo.data import Groups
from ltzoo.evaluate.predict import Predictions

GroupAccuracy = dict[str, float | None]
"""`head`, `mid`, `tail` to per cent; None for a group without a class."""


@dataclass(frozen=True)
class Figures:
    """What is reported of a model, in per cent.

    Attributes:
        overall: images whose highest logit is the label's.
        top5: images whose label is among the five highest logits.
        groups: grouping rule to the accuracy of its groups; the protocol's own grouping comes first.
        per_class: accuracy of each class.
        class_counts: training images of each class.
        images: number of test images.
        rule: which epoch, how measured.
    """

    overall: float
    top5: float
    groups: dict[str, GroupAccuracy]
    per_class: tuple[float, ...]
    class_counts: tuple[int, ...]
    images: int
    rule: str

    @property
    def own_groups(self) -> GroupAccuracy:
        """Accuracy of the groups of the first grouping."""
        return next(iter(self.groups.values()))

    def to_dict(self) -> dict[str, Any]:
        """Turn the figures into what JSON holds."""
        return asdict(self) | {"per_class": list(self.per_class), "class_counts": list(self.class_counts)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Figures":
        """Read figures back; further keys are passed over."""
        fields = {key: document[key] for key in cls.__dataclass_fields__}
        fields |= {key: tuple(fields[key]) for key in ("per_class", "class_counts")}
        return cls(**fields)


def group_accuracy(per_class: Sequence[float], groups: Groups) -> GroupAccuracy:
    """Average the accuracies of each group's classes.

    Args:
        per_class: (C,) accuracy of each class.
        groups: the grouping.
    """
    return {
        name: sum(per_class[j] for j in classes) / len(classes) if classes else None
        for name, classes in groups.classes.items()
    }


def measure(predictions: Predictions, class_counts: Sequence[int], groupings: Sequence[Groups], rule: str) -> Figures:
    """Compute the figures of a test set that has every class.

    Args:
        predictions: logits and labels of the test images.
        class_counts: (C,) training images of each class.
        groupings: groupings of the classes, the protocol's own first.
        rule: which epoch, how measured; kept as it is.
    """
    labels = predictions.labels
    hits = predictions.logits.topk(min(5, predictions.logits.shape[1])).indices == labels[:, None]
    right = hits[:, 0]
    images = torch.bincount(labels, minlength=len(class_counts))
    of_class = torch.bincount(labels, weights=right.double(), minlength=len(class_counts))
    per_class = tuple((100 * of_class / images).tolist())
    return Figures(
        overall=100 * int(right.sum()) / len(labels),
        top5=100 * int(hits.any(dim=1).sum()) / len(labels),
        groups={groups.rule: group_accuracy(per_class, groups) for groups in groupings},
        per_class=per_class,
        class_counts=tuple(class_counts),
        images=len(labels),
        rule=rule,
    )
