"""Reporting groups: the sets of classes (head, mid, tail) that accuracy is shown on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltzoo.data.benchmarks import Benchmark
from ltzoo.errors import InputError, shown

Classes = tuple[int, ...]

_MISLAS_CUTS = {
    "cifar10": (3, 7),
    "digits": (3, 7),
    "cifar100": (36, 71),
    "imagenetlt": (390, 835),
    "inat18": (842, 4543),
}
"""Where mid and tail begin, by data set. MiSLAS fixes the cuts; the tables of Rangwani 2022 use them."""


@dataclass(frozen=True)
class Groups:
    """A grouping of a benchmark's classes.

    Attributes:
        rule: the rule that made it.
        classes: `head`, `mid`, `tail` to the classes in it. `mid` is missing from `half`; a group may be empty.
    """

    rule: str
    classes: Mapping[str, Classes]


def classes_by_count(class_counts: Sequence[int]) -> Classes:
    """Sort the classes from the most images to the fewest; equal counts keep the order of their indices."""
    return tuple(sorted(range(len(class_counts)), key=lambda j: -class_counts[j]))


def _mislas(benchmark: Benchmark) -> dict[str, Classes] | None:
    """Cut the classes, sorted by count, at fixed places (the tables of Rangwani 2022)."""
    cuts = _MISLAS_CUTS.get(benchmark.data_set.name)
    if cuts is None or benchmark.profile == "step":
        return None
    order = classes_by_count(benchmark.class_counts)
    return {"head": order[: cuts[0]], "mid": order[cuts[0] : cuts[1]], "tail": order[cuts[1] :]}


def _count(benchmark: Benchmark) -> dict[str, Classes]:
    """Group by n_j: head above the first cut, tail below the second (the tables of Lyu 2025)."""
    high, low = benchmark.data_set.count_cuts
    counts = list(enumerate(benchmark.class_counts))
    return {
        "head": tuple(j for j, n in counts if n > high),
        "mid": tuple(j for j, n in counts if low <= n <= high),
        "tail": tuple(j for j, n in counts if n < low),
    }


def _half(benchmark: Benchmark) -> dict[str, Classes] | None:
    """Head and tail of the step profile."""
    if benchmark.profile != "step":
        return None
    order = classes_by_count(benchmark.class_counts)
    return {"head": order[: len(order) // 2], "tail": order[len(order) // 2 :]}


def _thirds(benchmark: Benchmark) -> dict[str, Classes]:
    """Cut the classes, sorted by count, into three groups of nearly equal numbers of classes."""
    order = classes_by_count(benchmark.class_counts)
    head, mid, tail = (tuple(part.tolist()) for part in np.array_split(order, 3))
    return {"head": head, "mid": mid, "tail": tail}


GROUP_RULES: dict[str, Callable[[Benchmark], dict[str, Classes] | None]] = {
    "mislas": _mislas,
    "count": _count,
    "half": _half,
    "thirds": _thirds,
}


def make_groups(rule: str, benchmark: Benchmark) -> Groups:
    """Group a benchmark's classes.

    Args:
        rule: a key of `GROUP_RULES`.
        benchmark: the benchmark.

    Raises:
        InputError: no such rule, or the rule is not defined on this benchmark.
    """
    if rule not in GROUP_RULES:
        raise InputError(f"no grouping rule is called {shown(rule)}; there are {', '.join(GROUP_RULES)}")
    classes = GROUP_RULES[rule](benchmark)
    if classes is None:
        fitting = ", ".join(groups.rule for groups in all_groups(benchmark))
        raise InputError(f"grouping rule {rule!r} is not defined on {benchmark.name}; these are: {fitting}")
    return Groups(rule, classes)


def all_groups(benchmark: Benchmark, first: str | None = None) -> list[Groups]:
    """Group a benchmark's classes by every rule that is defined on it.

    Args:
        benchmark: the benchmark.
        first: the rule to put first.
    """
    rules = sorted(GROUP_RULES, key=lambda rule: rule != first)
    made = [(rule, GROUP_RULES[rule](benchmark)) for rule in rules]
    return [Groups(rule, classes) for rule, classes in made if classes is not None]
