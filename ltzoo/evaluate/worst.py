"""The classes with the lowest accuracy, and what their images are taken for."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ltzoo.errors import printable

_NAME = 30
"""Characters of a class name in the table."""


@dataclass(frozen=True)
class WorstClass:
    """A class with a low accuracy.

    Attributes:
        index: the class.
        accuracy: share of its test images that are predicted correctly, in per cent.
        images: number of its test images.
        taken_for: the other classes that its images are predicted as, each with the number of these images, the most
            frequent first; of equally frequent ones the first class.
    """

    index: int
    accuracy: float
    images: int
    taken_for: tuple[tuple[int, int], ...]


def worst_classes(matrix: Tensor, most: int, confusions: int = 3) -> list[WorstClass]:
    """Find the classes with the lowest accuracy.

    Args:
        matrix: (C, C) counts from `confusion_matrix`: rows are labels, columns are predicted classes.
        most: how many classes are returned, at most; classes without test images are left out.
        confusions: how many other classes are named for each, at most.

    Returns:
        The classes, the lowest accuracy first; of equal ones the first class.
    """
    images, correct = matrix.sum(dim=1).tolist(), matrix.diagonal().tolist()
    tested = [j for j, count in enumerate(images) if count]
    worst = sorted(tested, key=lambda j: correct[j] / images[j])[:most]
    return [WorstClass(j, 100 * correct[j] / images[j], images[j], _others(matrix[j], j, confusions)) for j in worst]


def _others(row: Tensor, own: int, most: int) -> tuple[tuple[int, int], ...]:
    counts = [(k, count) for k, count in enumerate(row.tolist()) if count and k != own]
    return tuple(sorted(counts, key=lambda pair: -pair[1])[:most])


def worst_table(worst: Sequence[WorstClass], class_names: Sequence[str], class_counts: Sequence[int]) -> str:
    """Format classes as text: name, accuracy in per cent, test and training images, what they are taken for.

    Args:
        worst: from `worst_classes`.
        class_names: C names.
        class_counts: (C,) training images of each class.
    """
    names = [printable(name) for name in class_names]
    shown = [name if len(name) <= _NAME else f"{name[: _NAME - 3]}..." for name in names]
    header = ("class", "accuracy", "test images", "training images", "most often taken for (images)")
    lines = [header]
    for one in worst:
        others = ", ".join(f"{shown[k]} ({count})" for k, count in one.taken_for)
        lines.append((shown[one.index], f"{one.accuracy:.1f}", str(one.images), str(class_counts[one.index]), others))
    width = max(len(line[0]) for line in lines)
    return "\n".join(
        f"{name:<{width}}"
        + "".join(f"  {cell:>{len(title)}}" for cell, title in zip(cells, header[1:4], strict=True))
        + f"  {others}".rstrip()
        for name, *cells, others in lines
    )
