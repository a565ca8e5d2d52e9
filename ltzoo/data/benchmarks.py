"""Benchmarks: a data set and its imbalance profile."""

import difflib
from dataclasses import dataclass

from ltzoo.data.datasets import DATASETS, DataSet
from ltzoo.data.longtail import exponential_counts, step_counts
from ltzoo.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """A data set and its imbalance profile.

    Attributes:
        name: as it stands in a recipe's name, `cifar100lt`; IF is 100 unless it says otherwise (`cifar100lt50`).
        data_set: the balanced data set it is cut from.
        profile: `exponential` or `step`.
        imbalance_factor: IF = n_max / n_min.
        class_counts: n_j, training images of class j.
    """

    name: str
    data_set: DataSet
    profile: str
    imbalance_factor: int
    class_counts: tuple[int, ...]


def _exponential(name: str, data_set: DataSet, imbalance_factor: int) -> Benchmark:
    counts = exponential_counts(data_set.num_classes, data_set.n_max, imbalance_factor)
    return Benchmark(name, data_set, "exponential", imbalance_factor, counts)


def _step(name: str, data_set: DataSet, imbalance_factor: int) -> Benchmark:
    counts = step_counts(data_set.num_classes, data_set.n_max, imbalance_factor)
    return Benchmark(name, data_set, "step", imbalance_factor, counts)


_CIFARS = (DATASETS["cifar10"], DATASETS["cifar100"])

_BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        *(_exponential(f"{cifar.name}lt", cifar, 100) for cifar in _CIFARS),
        *(_exponential(f"{cifar.name}lt{factor}", cifar, factor) for cifar in _CIFARS for factor in (10, 50, 200)),
        *(_step(f"{cifar.name}step", cifar, 100) for cifar in _CIFARS),
        _exponential("digitslt", DATASETS["digits"], 20),
    )
}


def get_benchmark(name: str) -> Benchmark:
    """Look a benchmark up.

    Raises:
        InputError: no benchmark has that name; the nearest are named.
    """
    if name not in _BENCHMARKS:
        near = difflib.get_close_matches(name, _BENCHMARKS, n=3, cutoff=0) or list(_BENCHMARKS)
        raise InputError(f"no benchmark is called {name!r}; the nearest are {', '.join(near)}")
    return _BENCHMARKS[name]


def list_benchmarks() -> list[str]:
    """List the benchmarks' names."""
    return list(_BENCHMARKS)
