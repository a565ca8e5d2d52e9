"""What an analysis computes: its settings, and the sets of classes whose loss is analysed."""

import math
from dataclasses import dataclass
from typing import Literal

from ltzoo.data import Benchmark, Groups
from ltzoo.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How an analysis computes.

    Attributes:
        loss: `ce`, unweighted cross-entropy; `recipe`, the recipe's own loss with the class weights of the epoch.
        augment: draw new crops and flips for each product, as the code of `rangwani2022` does; False: no augmentation.
        precision: dtype of weights and vectors.
        probes: random vectors per spectrum.
        tolerance: see `Lanczos.converged`.
        most_steps: maximum number of Lanczos steps per probe.
        seed: seed of the random vectors.
        slice_reach: also measure the loss on the plane of the two extreme eigenvectors, up to this distance from w, in
            the same units as a radius rho. None: do not.
        slice_points: points along each axis of that plane; odd, so that w is one of them.
        escape: also measure the component of each method's gradient along the lowest eigenvector.
        chunk: images per differentiation; affects rounding only.
    """

    loss: Literal["ce", "recipe"] = "ce"
    augment: bool = False
    precision: Literal["float32", "float64"] = "float32"
    probes: int = 3
    tolerance: float = 0.001
    most_steps: int = 200
    seed: int = 0
    slice_reach: float | None = None
    slice_points: int = 21
    escape: bool = False
    chunk: int = 64

    def __post_init__(self) -> None:
        if self.most_steps < 2:
            raise InputError(f"a spectrum needs at least 2 steps, not {self.most_steps}")
        if not 0 < self.tolerance < 1:
            raise InputError(f"the tolerance must lie between 0 and 1, not {self.tolerance}")
        if self.slice_points < 3 or self.slice_points % 2 == 0:
            raise InputError(
                f"a slice needs an odd number of points along each axis, at least 3, not {self.slice_points}"
            )
        if self.slice_reach is not None and self.augment:
            raise InputError("a slice is measured without augmentation; leave --augment out, or --slice")
        if self.slice_reach is not None and not 0 < self.slice_reach < math.inf:
            raise InputError(f"the distance of a slice must be finite and above 0, not {self.slice_reach}")


@dataclass(frozen=True)
class ClassSet:
    """A set of classes.

    Attributes:
        label: a class's index, a group's name, or `all`.
        classes: the indices of its classes.
    """

    label: str
    classes: tuple[int, ...]


def parse_class_sets(words: list[str], benchmark: Benchmark, groups: Groups) -> list[ClassSet]:
    """Parse sets of classes.

    Args:
        words: class indices or names; `each`, every class separately; group names; `all`, every class together.
        benchmark: benchmark with the classes.
        groups: the groups.

    Returns:
        The sets in the given order, without duplicates.

    Raises:
        InputError: `words` is empty, a class or group does not exist, or has no training images.
    """
    if not words:
        raise InputError("no class is named; name classes, groups, all or each")
    names, every = benchmark.data_set.class_names, tuple(range(len(benchmark.class_counts)))
    found: dict[str, ClassSet] = {}
    for word in words:
        if word == "each":
            sets = [ClassSet(str(j), (j,)) for j in every]
        elif word == "all":
            sets = [ClassSet("all", every)]
        elif word in groups.classes:
            sets = [ClassSet(word, tuple(groups.classes[word]))]
        elif word.isdecimal() and int(word) in every:
            sets = [ClassSet(str(int(word)), (int(word),))]
        elif word in names:
            sets = [ClassSet(str(names.index(word)), (names.index(word),))]
        else:
            raise InputError(
                f"{benchmark.name} has no class or group {word!r}; there are the classes 0 to {every[-1]} and their "
                f"names, {', '.join(groups.classes)} by the rule {groups.rule}, all, and each"
            )
        found |= {one.label: one for one in sets}
    for one in found.values():
        if not sum(benchmark.class_counts[j] for j in one.classes):
            raise InputError(f"{one.label!r} of {benchmark.name} has no training images, hence no loss; remove it")
    return list(found.values())
