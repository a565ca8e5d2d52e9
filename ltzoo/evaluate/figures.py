"""Figures: the accuracies and the calibration error that are reported for a model, computed from its predictions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ltzoo.data import Groups
from ltzoo.evaluate.accuracy import GroupAccuracy, check_range, check_shapes, class_shares, group_accuracy
from ltzoo.evaluate.calibration import calibrate
from ltzoo.evaluate.correctness import image_correctness
from ltzoo.evaluate.predict import Predictions


@dataclass(frozen=True)
class Figures:
    """What is reported for a model, in per cent.

    Attributes:
        overall: top-1 accuracy over all images.
        top5: top-5 accuracy over all images; 100 with at most five classes.
        groups: grouping rule to the accuracy of its groups; the protocol's own grouping comes first.
        per_class: accuracy of each class.
        class_counts: training images of each class.
        images: number of test images.
        rule: which epoch was evaluated and how.
        ece: expected calibration error; None in older files without it.
    """

    overall: float
    top5: float
    groups: dict[str, GroupAccuracy]
    per_class: tuple[float, ...]
    class_counts: tuple[int, ...]
    images: int
    rule: str
    ece: float | None = None

    @property
    def own_groups(self) -> GroupAccuracy:
        """Group accuracies of the first grouping."""
        return next(iter(self.groups.values()))

    @property
    def headline(self) -> GroupAccuracy:
        """Overall accuracy and the group accuracies of the first grouping."""
        return {"overall": self.overall, **self.own_groups}

    def to_dict(self) -> dict[str, Any]:
        """Convert to a JSON-serialisable dictionary."""
        return asdict(self) | {"per_class": list(self.per_class), "class_counts": list(self.class_counts)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "Figures":
        """Read what `to_dict` returned; unknown keys are ignored.

        Raises:
            KeyError, TypeError, ValueError: the document holds no figures.
        """
        groups, rule, ece = document["groups"], document["rule"], document.get("ece")
        if not isinstance(groups, dict) or not groups or not all(isinstance(of, dict) and of for of in groups.values()):
            raise ValueError("the figures have no groups")
        if not isinstance(rule, str):
            raise TypeError(f"the rule is {str(rule)[:40]!r}, not text")
        return cls(
            overall=float(_per_cent(document["overall"])),
            top5=float(_per_cent(document["top5"])),
            groups={
                name: {group: None if value is None else _per_cent(value) for group, value in of.items()}
                for name, of in groups.items()
            },
            per_class=tuple(map(_per_cent, _list(document["per_class"]))),
            class_counts=tuple(map(_count, _list(document["class_counts"]))),
            images=_count(document["images"]),
            rule=rule,
            ece=None if ece is None else _per_cent(ece),
        )


def _per_cent(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"{str(value)[:40]!r} is no figure in per cent")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is no number of images")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{str(value)[:40]!r} is no list")
    return list(value)


def measure(predictions: Predictions, class_counts: Sequence[int], groupings: Sequence[Groups], rule: str) -> Figures:
    """Compute the figures on a test set that has images of every class.

    Among equal logits, the lower class index ranks first.

    Args:
        predictions: logits and labels of the test images.
        class_counts: (C,) training images of each class.
        groupings: groupings of the classes, the protocol's own first.
        rule: which epoch was evaluated and how; stored unchanged.

    Raises:
        InputError: a class has no test image, a logit is not finite, or a grouping does not cover the classes.
    """
    labels, classes = predictions.labels, len(class_counts)
    check_shapes(predictions.logits, labels, classes)
    check_range("labels", labels, classes)
    correctness = image_correctness(predictions)
    per_class = class_shares(correctness.top1, labels, classes)
    return Figures(
        overall=100 * int(correctness.top1.sum()) / len(labels),
        top5=100 * int(correctness.top5.sum()) / len(labels),
        groups={groups.rule: group_accuracy(per_class, groups) for groups in groupings},
        per_class=per_class,
        class_counts=tuple(class_counts),
        images=len(labels),
        rule=rule,
        ece=calibrate(correctness.confidence, correctness.top1).ece,
    )
