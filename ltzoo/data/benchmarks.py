"""Benchmarks: a data set and its imbalance profile."""

import difflib
from dataclasses import dataclass

from ltzoo.data.datasets import DATASETS, DataSet
from ltzoo.data.longtail import exponential_counts
from ltzoo.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """A data set and its imbalance profile.

    Attributes:
        name: as it stands in a recipe's name, `cifar100lt`.
        data_set: the balanced data set it is cut from.
        profile: `exponential`.
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


_BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        _exponential("cifar10lt", DATASETS["cifar10"], 100),
        _exponential("cifar100lt", DATASETS["cifar100"], 100),
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
