"""A summary of a data set in files before training: class counts, groups, image sizes, copies, damaged images."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ltzoo.data.benchmarks import NATURAL_BENCHMARKS, NO_MODEL_INPUT, NaturalBenchmark
from ltzoo.data.files.checks import Tick, Unreadable, check_each_class, each_image
from ltzoo.data.files.image_files import ImageFiles, reason
from ltzoo.data.files.pixels import unusual_properties
from ltzoo.data.groups import Groups, make_groups
from ltzoo.errors import InputError

RULES = ("count", "thirds")
"""The grouping rules that are defined for any class counts."""

FEW = 20
"""Classes with fewer training images are few-shot in Lyu 2025."""

_NAMED = 10
"""How many of the images that something unusual holds for are named."""


@dataclass(frozen=True)
class Copy:
    """One of several identical images, byte for byte.

    Attributes:
        split: `train` or `test`.
        name: its name.
        class_name: its label.
    """

    split: str
    name: str
    class_name: str


@dataclass(frozen=True)
class UnusualImages:
    """Images that something unusual holds for: often all of a data set, so only the first are named.

    Attributes:
        images: how many.
        first: split and name of the first ten.
    """

    images: int
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Contents:
    """What was found by opening every image.

    Attributes:
        unreadable: from `train` and, where there is one, `test` to the images that cannot be read.
        repeated: groups of identical images, in the order of the splits, without unreadable ones.
        shorter_side: median of the shorter sides in pixels, over all splits; None where no image can be read.
        smallest: split, name, width and height of the image with the shortest side; None where no image can be read.
        emptied: names of the classes without a readable training image.
        unusual: from a phrase of `unusual_properties` to the images that it holds for.
    """

    unreadable: Mapping[str, tuple[Unreadable, ...]]
    repeated: tuple[tuple[Copy, ...], ...]
    shorter_side: float | None
    smallest: tuple[str, str, int, int] | None
    emptied: tuple[str, ...]
    unusual: Mapping[str, UnusualImages] = field(default_factory=dict)

    @property
    def leaked(self) -> tuple[tuple[Copy, ...], ...]:
        """The identical images that are in both train and test."""
        return tuple(copies for copies in self.repeated if len({copy.split for copy in copies}) > 1)

    @property
    def contradictory(self) -> tuple[tuple[Copy, ...], ...]:
        """The identical images with different labels."""
        return tuple(copies for copies in self.repeated if len({copy.class_name for copy in copies}) > 1)

    def repeated_in(self, split: str) -> tuple[tuple[Copy, ...], ...]:
        """Find the images that are in a split more than once; only the copies in that split."""
        within = (tuple(copy for copy in copies if copy.split == split) for copies in self.repeated)
        return tuple(copies for copies in within if len(copies) > 1)

    def to_dict(self) -> dict[str, Any]:
        """Turn it into JSON values."""
        smallest = (
            dict(zip(("split", "name", "width", "height"), self.smallest, strict=True)) if self.smallest else None
        )
        return {
            "shorter_side": self.shorter_side,
            "smallest": smallest,
            "unreadable": [
                {"split": split, "name": image.name, "reason": image.reason}
                for split, images in self.unreadable.items()
                for image in images
            ],
            "repeated": [
                [{"split": copy.split, "name": copy.name, "class": copy.class_name} for copy in copies]
                for copies in self.repeated
            ],
            "emptied": list(self.emptied),
            "unusual": {
                what: {
                    "images": found.images,
                    "first": [{"split": split, "name": name} for split, name in found.first],
                }
                for what, found in self.unusual.items()
            },
        }


@dataclass(frozen=True)
class Profile:
    """A summary of a data set in files. Counts include unreadable files.

    Attributes:
        class_names: C names.
        train_counts: (C,) training images of each class, at least one.
        test_counts: (C,) test images of each class; None where there is no test split.
        groups: the classes grouped by each rule of `RULES`.
        contents: what was found by opening the images; None where they were not opened.
    """

    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...] | None
    groups: tuple[Groups, ...]
    contents: Contents | None

    @property
    def n_max(self) -> int:
        """Training images of the largest class."""
        return max(self.train_counts)

    @property
    def n_min(self) -> int:
        """Training images of the smallest class."""
        return min(self.train_counts)

    @property
    def imbalance_factor(self) -> float:
        """IF = n_max / n_min."""
        return self.n_max / self.n_min

    @property
    def largest_tenth(self) -> tuple[int, float]:
        """The number of classes in the largest tenth, rounded up, and its share of the training images."""
        tenth = -(-len(self.train_counts) // 10)
        held = sum(sorted(self.train_counts, reverse=True)[:tenth])
        return tenth, held / sum(self.train_counts)

    @property
    def one_image(self) -> tuple[str, ...]:
        """Names of the classes with a single training image."""
        return self._named(n == 1 for n in self.train_counts)

    @property
    def few(self) -> tuple[str, ...]:
        """Names of the classes with fewer than `FEW` training images."""
        return self._named(n < FEW for n in self.train_counts)

    @property
    def without_test(self) -> tuple[str, ...]:
        """Names of the classes without a test image; none where there is no test split."""
        return self._named(n == 0 for n in self.test_counts or ())

    def _named(self, chosen: Iterable[bool]) -> tuple[str, ...]:
        return tuple(itertools.compress(self.class_names, chosen))

    def to_dict(self) -> dict[str, Any]:
        """Turn the profile into JSON values; groups have the indices of the classes in `class_names`."""
        tenth, share = self.largest_tenth
        return {
            "class_names": list(self.class_names),
            "train_counts": list(self.train_counts),
            "test_counts": None if self.test_counts is None else list(self.test_counts),
            "n_max": self.n_max,
            "n_min": self.n_min,
            "imbalance_factor": self.imbalance_factor,
            "largest_tenth": {"classes": tenth, "share": share},
            "groups": {group.rule: {name: list(held) for name, held in group.classes.items()} for group in self.groups},
            "one_image": list(self.one_image),
            f"fewer_than_{FEW}": list(self.few),
            "without_test": list(self.without_test),
            "contents": None if self.contents is None else self.contents.to_dict(),
        }


def profile_files(
    train: ImageFiles,
    test: ImageFiles | None,
    threads: int | None = None,
    progress: Tick | None = None,
    *,
    benchmark: NaturalBenchmark = NATURAL_BENCHMARKS["imagefolder"],
    quick: bool = False,
) -> Profile:
    """Summarise a data set in files.

    Args:
        train: the training split.
        test: the test split, of the same classes; None where there is none.
        threads: images opened at the same time, see `find_unreadable`.
        progress: called after each image.
        benchmark: the natural benchmark, which defines the groups by count.
        quick: open no image.

    Raises:
        InputError: a class has no training image.
    """
    check_each_class(train, "training")
    names, counts = train.class_names, train.class_counts
    opened = benchmark.with_counts(counts, names, NO_MODEL_INPUT)
    splits = {"train": train} | ({} if test is None else {"test": test})
    return Profile(
        class_names=names,
        train_counts=counts,
        test_counts=None if test is None else test.class_counts,
        groups=tuple(make_groups(rule, opened) for rule in RULES),
        contents=None if quick else _open_all(splits, threads, progress),
    )


def _look(files: ImageFiles, index: int) -> tuple[bytes, int, int, tuple[str, ...]] | str:
    """Decode an image: SHA-256 of the stored file, width, height, anything unusual; or why it cannot be read."""
    try:
        content = files.content(index)
        width, height = files.decoded(index, content).size
    except InputError as error:
        return reason(error)
    return hashlib.sha256(content).digest(), width, height, unusual_properties(content)


def _open_all(splits: Mapping[str, ImageFiles], threads: int | None, progress: Tick | None) -> Contents:
    """Open each image of all splits; positions run through the splits one after the other."""
    begins = dict(zip(splits, itertools.accumulate(map(len, splits.values()), initial=0), strict=False))
    images = sum(map(len, splits.values()))
    digests, sizes = np.zeros(images, "S32"), np.zeros((images, 2), np.int64)
    unreadable: dict[str, tuple[Unreadable, ...]] = {}
    unusual: dict[str, UnusualImages] = {}
    for split, files in splits.items():
        damaged = []
        for index, found in enumerate(each_image(files, partial(_look, files), threads, progress)):
            if isinstance(found, str):
                damaged.append(Unreadable(index, files.name(index), found))
            else:
                position = begins[split] + index
                digests[position], sizes[position] = found[0], found[1:3]
                for what in found[3]:
                    unusual[what] = _one_more(unusual.get(what), split, files, index)
        unreadable[split] = tuple(damaged)

    def copy(position: int) -> Copy:
        split = next(split for split in reversed(begins) if begins[split] <= position)
        files, index = splits[split], position - begins[split]
        return Copy(split, files.name(index), files.class_names[files.labels[index]])

    whole = np.flatnonzero(sizes[:, 0])
    shorter = sizes[whole].min(axis=1)
    smallest = None
    if len(whole):
        position = int(whole[shorter.argmin()])
        smallest = (copy(position).split, copy(position).name, *sizes[position].tolist())
    train = splits["train"]
    read = np.bincount(train.labels[whole[whole < len(train)]], minlength=len(train.class_names))
    return Contents(
        unreadable=unreadable,
        repeated=tuple(tuple(map(copy, positions)) for positions in _same(digests, whole)),
        shorter_side=float(np.median(shorter)) if len(whole) else None,
        smallest=smallest,
        emptied=tuple(itertools.compress(train.class_names, read == 0)),
        unusual=dict(sorted(unusual.items())),
    )


def _one_more(before: UnusualImages | None, split: str, files: ImageFiles, index: int) -> UnusualImages:
    images, first = (before.images, before.first) if before else (0, ())
    return UnusualImages(images + 1, (*first, (split, files.name(index))) if images < _NAMED else first)


def _same(digests: np.ndarray, whole: np.ndarray) -> list[list[int]]:
    """Group the given positions by digest; only groups of several."""
    _, kinds, copies = np.unique(digests[whole], return_inverse=True, return_counts=True)
    found: dict[int, list[int]] = {}
    for position in np.flatnonzero(copies[kinds] > 1).tolist():
        found.setdefault(int(kinds[position]), []).append(int(whole[position]))
    return list(found.values())
