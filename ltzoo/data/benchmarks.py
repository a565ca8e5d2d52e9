"""Benchmarks: a data set and its imbalance profile."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ltzoo.data.datasets import DATASETS, DataSet
from ltzoo.data.longtail import exponential_counts, step_counts
from ltzoo.errors import InputError


@dataclass(frozen=True)
class Benchmark:
    """A data set and its imbalance profile.

    Attributes:
        name: as it stands in a recipe's name, `cifar100lt`; IF is 100 unless it says otherwise (`cifar100lt50`).
        data_set: the data set it is cut from, or, with a natural profile, is.
        profile: `exponential`, `step`, or `natural` where the images lie in files and are what they are.
        imbalance_factor: IF = n_max / n_min.
        class_counts: n_j, training images of class j.
    """

    name: str
    data_set: DataSet
    profile: str
    imbalance_factor: float
    class_counts: tuple[int, ...]


@dataclass(frozen=True)
class View:
    """How a file's image reaches the model, in timm's terms.

    Attributes:
        size: height and width in pixels.
        mean: of each channel, see `DataSet`.
        std: of each channel.
        crop_pct: the share of the shorter side that is kept of a test image.
        interpolation: `bilinear` or `bicubic`.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str


@dataclass(frozen=True)
class NaturalBenchmark:
    """A benchmark whose class counts are known once its files are looked at.

    Attributes:
        name: as it stands in a recipe's name, `imagenetlt`.
        num_classes: C where it is fixed; None where the files say.
        train_images: training images of the standard list; None where there is none.
        count_cuts: see `DataSet`.
        hub_id: see `DataSet`.
    """

    name: str
    num_classes: int | None
    train_images: int | None
    count_cuts: tuple[int, int]
    hub_id: str | None = None

    def opened(self, class_counts: Sequence[int], class_names: Sequence[str], view: View) -> Benchmark:
        """Make the benchmark itself.

        Args:
            class_counts: n_j, training images of class j, at least 1 each.
            class_names: what the labels mean.
            view: how its images reach the model.
        """
        counts = tuple(class_counts)
        data_set = DataSet(
            name=self.name,
            num_classes=len(counts),
            n_max=max(counts),
            image_size=view.size,
            channels=len(view.mean),
            mean=view.mean,
            std=view.std,
            test_images=None,
            count_cuts=self.count_cuts,
            class_names=tuple(class_names),
            hub_id=self.hub_id,
            crop_pct=view.crop_pct,
            interpolation=view.interpolation,
        )
        return Benchmark(self.name, data_set, "natural", max(counts) / min(counts), counts)


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


NATURAL_BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        NaturalBenchmark("imagenetlt", 1000, 115_846, (100, 20)),
        NaturalBenchmark("inat18", 8142, 437_513, (100, 20)),
        NaturalBenchmark("imagefolder", None, None, (100, 20)),
    )
}
"""Benchmarks whose images lie in files: ImageNet-LT, iNaturalist 2018, and anybody's own."""


def get_benchmark(name: str) -> Benchmark:
    """Look a benchmark up whose class counts are known without its images.

    Raises:
        InputError: no benchmark has that name, the nearest are named; or its class counts come with its files.
    """
    if name in NATURAL_BENCHMARKS:
        raise InputError(f"the class counts of {name} come with its files; name a benchmark of fixed counts")
    if name not in _BENCHMARKS:
        near = difflib.get_close_matches(name, [*_BENCHMARKS, *NATURAL_BENCHMARKS], n=3, cutoff=0)
        raise InputError(f"no benchmark is called {name!r}; the nearest are {', '.join(near)}")
    return _BENCHMARKS[name]


def list_benchmarks() -> list[str]:
    """List the names of the benchmarks whose class counts are known without their images."""
    return list(_BENCHMARKS)
