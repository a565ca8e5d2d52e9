"""Which images of a balanced data set form the long tail: chosen by a rule, or named by a file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltzoo.data.files.names import some
from ltzoo.errors import InputError

IMPORTED = "imported"
"""Stands in a recipe in the place of a rule when a file names the images."""

WHOLE = "whole"
"""The same where each image of the training split is taken, as with images in files."""


@dataclass(frozen=True)
class Subset:
    """The training images that a benchmark keeps.

    Attributes:
        rule: how they were chosen, a key of `SUBSET_RULES`, or whatever the file says that names them; and how many of
            each class were held out of them.
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
        """Turn the subset into what a subset file, JSON, holds."""
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


def first(of_class: list[np.ndarray], class_counts: tuple[int, ...]) -> list[np.ndarray]:
    """Keep the first n_j of each class in the stored order (paper B's code)."""
    return [indices[:count] for indices, count in zip(of_class, class_counts, strict=True)]


SUBSET_RULES = {"cao": cao, "first": first}


def select_subset(labels: np.ndarray, class_counts: tuple[int, ...], rule: str, layout: str) -> Subset:
    """Choose n_j images of each class j.

    Args:
        labels: (N,) classes in the data set's stored order.
        class_counts: n_j.
        rule: a key of `SUBSET_RULES`.
        layout: names that order, see `Subset`.

    Raises:
        InputError: there is no such rule, or a class has fewer images than the benchmark wants.
    """
    if rule == IMPORTED:
        raise InputError("the subset is an imported one; name its file with --subset")
    if rule not in SUBSET_RULES:
        raise InputError(f"no subset rule is called {rule!r}; there are {', '.join(SUBSET_RULES)}")
    of_class = [np.flatnonzero(labels == j).astype(np.int64) for j in range(len(class_counts))]
    short = [
        f"class {j} has {len(indices)} of {count}"
        for j, (indices, count) in enumerate(zip(of_class, class_counts, strict=True))
        if len(indices) < count
    ]
    if short:
        raise InputError(
            f"too few training images: {some(short)}; use the whole data set or a benchmark with fewer images"
        )
    return Subset(rule, layout, np.concatenate(SUBSET_RULES[rule](of_class, class_counts)))


def read_subset(path: Path) -> Subset:
    """Read a subset file, as `python -m ltzoo subset` and every run write it.

    Raises:
        InputError: the file is missing or damaged, or its indices are not those that were hashed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rule, layout, sha256 = (str(document[key]) for key in ("rule", "layout", "sha256"))
        indices = np.asarray(document["indices"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is missing or no subset file; python -m ltzoo subset writes one") from error
    if indices.ndim != 1 or indices.dtype.kind != "i":
        raise InputError(f"{path} is damaged: its indices must be a list of whole numbers; export it again")
    subset = Subset(rule, layout, indices.astype(np.int64))
    if subset.sha256 != sha256:
        raise InputError(f"{path} is damaged: its indices have another hash than it says; export it again")
    return subset


def check_subset(subset: Subset, labels: np.ndarray, class_counts: tuple[int, ...], layout: str) -> None:
    """See that an imported subset fits the data set and the benchmark.

    Args:
        subset: the subset.
        labels: (N,) classes in the data set's stored order.
        class_counts: n_j that the benchmark wants.
        layout: names that order, see `Subset`.

    Raises:
        InputError: it points into another order, outside the data set or twice at an image, or has other class counts.
    """
    if subset.layout != layout:
        raise InputError(
            f"the subset names images by their place in the order {subset.layout!r}, but the data are stored in the "
            f"order {layout!r}; use the copy of the data set that it was made from"
        )
    indices = subset.indices
    outside = indices[(indices < 0) | (indices >= len(labels))]
    if len(outside):
        raise InputError(
            f"the subset names image {outside[0]} of {len(labels)}; use the data set that it was made from"
        )
    if len(np.unique(indices)) < len(indices):
        raise InputError("the subset names an image twice; export it again")
    counts = np.bincount(labels[indices], minlength=len(class_counts)).tolist()
    wrong = [f"class {j} has {n}, not {m}" for j, (n, m) in enumerate(zip(counts, class_counts, strict=True)) if n != m]
    if wrong:
        raise InputError(f"the subset contradicts the benchmark's class counts: {some(wrong)}; use its own benchmark")
