"""Chooses which training images of a balanced data set a benchmark uses, and which are held out, from the labels."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ltzoo.errors import InputError, first_few, shown
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import read_json

IMPORTED = "imported"
"""The value of `Recipe.subset` if a file lists the training images."""

WHOLE = "whole"
"""The value of `Recipe.subset` for image files: every image of the training split is used."""

HOLD_OUT = "hold_out"
"""The override of a run that measures on held-out images: [None, images per class, or their share]."""


@dataclass(frozen=True)
class Subset:
    """The training images that a benchmark keeps.

    Attributes:
        rule: how they were chosen: a key of `SUBSET_RULES` or the rule in a subset file, followed by the number of
            held-out images per class, if any.
        layout: the stored order that the indices refer to; in another order the same rule picks other images.
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
        """Turn the subset into the content of a subset file (JSON)."""
        return {"rule": self.rule, "layout": self.layout, "sha256": self.sha256, "indices": self.indices.tolist()}


def cao(of_class: list[np.ndarray], class_counts: tuple[int, ...]) -> list[np.ndarray]:
    """Keep the first n_j of each class after one seeded shuffle per class, in class order (Cao 2019, Rangwani 2022).

    Every run shares this subset: the generator is seeded with 0 whatever the run's seed.
    """
    generator = np.random.RandomState(0)
    kept = []
    for indices, count in zip(of_class, class_counts, strict=True):
        shuffled = indices.copy()
        generator.shuffle(shuffled)
        kept.append(shuffled[:count])
    return kept


def first(of_class: list[np.ndarray], class_counts: tuple[int, ...]) -> list[np.ndarray]:
    """Keep the first n_j of each class in the stored order (the code of Lyu 2025)."""
    return [indices[:count] for indices, count in zip(of_class, class_counts, strict=True)]


SUBSET_RULES = {"cao": cao, "first": first}


def select_subset(labels: np.ndarray, class_counts: tuple[int, ...], rule: str, layout: str) -> Subset:
    """Choose n_j images of each class j.

    Args:
        labels: (N,) classes in the data set's stored order.
        class_counts: n_j.
        rule: a key of `SUBSET_RULES`.
        layout: the name of that order, see `Subset`.

    Raises:
        InputError: there is no such rule, or a class has fewer images than the benchmark needs.
    """
    if rule == IMPORTED:
        raise InputError("the recipe's subset is imported from a file; name it with --subset")
    if rule not in SUBSET_RULES:
        raise InputError(f"no subset rule is called {shown(rule)}; there are {', '.join(SUBSET_RULES)}")
    of_class = [np.flatnonzero(labels == j).astype(np.int64) for j in range(len(class_counts))]
    short = [
        f"class {j} has {len(indices)} of {count}"
        for j, (indices, count) in enumerate(zip(of_class, class_counts, strict=True))
        if len(indices) < count
    ]
    if short:
        raise InputError(
            f"too few training images: {first_few(short)}; use the whole data set or a benchmark with fewer images"
        )
    return Subset(rule, layout, np.concatenate(SUBSET_RULES[rule](of_class, class_counts)))


def hold_out(labels: np.ndarray, subset: Subset, per_class: int) -> tuple[Subset, np.ndarray]:
    """Hold the same number of images of each class out of the training split, for choosing settings.

    Images that are not in the subset are used first, in their stored order; only then images from the end of the
    subset's own of that class. Nothing is random, so every run holds out the same images.

    Args:
        labels: (N,) classes of the whole training split in its stored order.
        subset: the long-tailed training images.
        per_class: images of each class to hold out, v >= 1.

    Returns:
        The subset without the held-out images, in its order, and the (C * v,) int64 positions of the held-out images,
        class by class.

    Raises:
        InputError: v is below 1, or a class would have no training image left.
    """
    if per_class < 1:
        raise InputError(f"at least 1 image per class must be held out, not {per_class}")
    unused = np.ones(len(labels), dtype=bool)
    unused[subset.indices] = False
    classes = labels[subset.indices]
    kept = np.ones(len(classes), dtype=bool)
    held_out = []
    for j in np.unique(labels):
        spare = np.flatnonzero(unused & (labels == j))[:per_class]
        own = np.flatnonzero(classes == j)
        missing = per_class - len(spare)
        if missing >= len(own):
            raise InputError(
                f"class {j} has {int((labels == j).sum())} training images, {len(own)} of them in the subset: holding "
                f"out {per_class} would leave no training image; hold out fewer"
            )
        given = own[len(own) - missing :]
        kept[given] = False
        held_out += [spare, subset.indices[given]]
    rest = replace(subset, rule=f"{subset.rule}, {per_class} a class held out", indices=subset.indices[kept])
    return rest, np.concatenate(held_out).astype(np.int64)


def read_subset(path: Path) -> Subset:
    """Read a subset file, as `ltzoo subset` and every run write it.

    Raises:
        InputError: the file is missing or damaged, or its indices do not match their hash.
    """
    try:
        document = read_json(path, megabytes=256)
        rule, layout, sha256 = (str(document[key]) for key in ("rule", "layout", "sha256"))
        indices = np.asarray(document["indices"])
    except (ContentError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is missing or not a subset file; write one with ltzoo subset") from error
    if indices.ndim != 1 or indices.dtype.kind != "i":
        raise InputError(f"{path} is damaged: its indices must be a list of whole numbers; export it again")
    subset = Subset(rule, layout, indices.astype(np.int64))
    if subset.sha256 != sha256:
        raise InputError(f"{path} is damaged: its indices do not match its hash; export it again")
    return subset


def check_subset(subset: Subset, labels: np.ndarray, class_counts: tuple[int, ...], layout: str) -> None:
    """Check that an imported subset fits the data set and the benchmark.

    Args:
        subset: the subset.
        labels: (N,) classes in the data set's stored order.
        class_counts: n_j of the benchmark.
        layout: the name of that order, see `Subset`.

    Raises:
        InputError: it refers to another order, to an image outside the data set or twice to one image, or it has other
            class counts.
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
        raise InputError(
            f"the subset contradicts the benchmark's class counts: {first_few(wrong)}; use its own benchmark"
        )
