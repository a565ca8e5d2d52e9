"""From a balanced data set to a long tail: class counts, and which images are kept."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltzoo.errors import InputError


def exponential_counts(num_classes: int, n_max: int, imbalance_factor: float) -> tuple[int, ...]:
    """Compute the class counts of the exponential profile: n_j = int(n_max * (1 / IF)^(j / (C - 1))) (Cao 2019).

    Args:
        num_classes: C, at least 2.
        n_max: images of class 0.
        imbalance_factor: IF = n_max / n_min.
    """
    return tuple(int(n_max * (1 / imbalance_factor) ** (j / (num_classes - 1))) for j in range(num_classes))


@dataclass(frozen=True)
class Subset:
    """The training images that a benchmark keeps.

    Attributes:
        rule: how they were chosen, a key of `SUBSET_RULES`.
        layout: where the indices point into; the same rule picks other images from another order of the data set.
        indices: (n,) int64 positions in the data set's stored order, class by class.
    """

    rule: str
    layout: str
    indices: np.ndarray

    @property
    def sha256(self) -> str:
        """SHA-256 of the indices as little-endian int64, in hexadecimal."""
        return hashlib.sha256(self.indices.astype("<i8").tobytes()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Turn the subset into what JSON holds."""
        return {"rule": self.rule, "layout": self.layout, "sha256": self.sha256, "indices": self.indices.tolist()}


def cao(of_class: list[np.ndarray], class_counts: tuple[int, ...]) -> list[np.ndarray]:
    """Keep the first n_j of each class after one seeded shuffle a class, in class order (Cao 2019; paper A).

    Every run shares this subset: the generator starts at 0 whatever the run's seed.
    """
    generator = np.random.RandomState(0)
    kept = []
    for indices, count in zip(of_class, class_counts, strict=True):
        shuffled = indices.copy()
        generator.shuffle(shuffled)
        kept.append(shuffled[:count])
    return kept


SUBSET_RULES = {"cao": cao}


def select_subset(labels: np.ndarray, class_counts: tuple[int, ...], rule: str, layout: str) -> Subset:
    """Choose n_j images of each class j.

    Args:
        labels: (N,) classes in the data set's stored order.
        class_counts: n_j.
        rule: a key of `SUBSET_RULES`.
        layout: names that order, see `Subset`.

    Raises:
        InputError: a class has fewer images than the benchmark wants.
    """
    of_class = [np.flatnonzero(labels == j).astype(np.int64) for j in range(len(class_counts))]
    short = [
        f"class {j} has {len(indices)} of {count}"
        for j, (indices, count) in enumerate(zip(of_class, class_counts, strict=True))
        if len(indices) < count
    ]
    if short:
        raise InputError(
            f"too few training images: {', '.join(short[:5])}{', ...' if len(short) > 5 else ''}; "
            "use the whole data set or a benchmark with fewer images"
        )
    return Subset(rule, layout, np.concatenate(SUBSET_RULES[rule](of_class, class_counts)))
