"""Benchmarks: a data set and its imbalance profile, which says how many training images each class has."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ltzoo.data.class_names import CIFAR10, CIFAR100, DIGITS
from ltzoo.errors import InputError, shown


@dataclass(frozen=True)
class DataSet:
    """A data set, and how its images are preprocessed for a model.

    Attributes:
        name: `cifar10`, `cifar100`, `digits`, or that of a natural benchmark.
        num_classes: number of classes, C.
        n_max: training images per class of the balanced data set, by definition and not by counting; with a natural
            profile, of the largest class.
        image_size: height and width in pixels, as they reach the model.
        channels: 3 for RGB, 1 for grey.
        mean: mean of each channel that is subtracted, for images scaled to [0, 1].
        std: standard deviation of each channel that they are divided by.
        test_images: test images of each class; None if the number may differ between classes.
        count_cuts: (a, b) of the `count` grouping: head n > a, mid b <= n <= a, tail n < b.
        class_names: what the labels mean.
        hub_id: its name on the Hugging Face Hub; None if it is not on the Hub.
        crop_pct: the share of a test image's shorter side that the centre crop keeps, as in timm.
        interpolation: how an image in a file is resized, as in timm.
    """

    name: str
    num_classes: int
    n_max: int
    image_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test_images: int | None
    count_cuts: tuple[int, int]
    class_names: tuple[str, ...]
    hub_id: str | None
    crop_pct: float = 1.0
    interpolation: str = "bicubic"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image, as it reaches the model."""
        return self.channels, self.image_size, self.image_size


# Rangwani 2022 and Lyu 2025 normalise CIFAR-100 with CIFAR-10's statistics.
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

DATASETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet("cifar10", 10, 5000, 32, 3, _CIFAR_MEAN, _CIFAR_STD, 1000, (1000, 200), CIFAR10, "uoft-cs/cifar10"),
        DataSet("cifar100", 100, 500, 32, 3, _CIFAR_MEAN, _CIFAR_STD, 100, (100, 20), CIFAR100, "uoft-cs/cifar100"),
        DataSet("digits", 10, 130, 16, 1, (0.3071,), (0.3199,), 40, (100, 20), DIGITS, None),
    )
}


def exponential_counts(num_classes: int, n_max: int, imbalance_factor: float) -> tuple[int, ...]:
    """Compute the class counts of the exponential profile: n_j = int(n_max * (1 / IF)^(j / (C - 1))) (Cao 2019).

    Args:
        num_classes: C, at least 2.
        n_max: images of class 0.
        imbalance_factor: IF = n_max / n_min.
    """
    return tuple(int(n_max * (1 / imbalance_factor) ** (j / (num_classes - 1))) for j in range(num_classes))


def step_counts(num_classes: int, n_max: int, imbalance_factor: float) -> tuple[int, ...]:
    """Compute the class counts of the step profile: n_max in the first half of the classes, n_max / IF in the second.

    Args:
        num_classes: C, even.
        n_max: images of each class of the first half.
        imbalance_factor: IF = n_max / n_min.
    """
    half = num_classes // 2
    return (n_max,) * half + (int(n_max / imbalance_factor),) * (num_classes - half)


@dataclass(frozen=True)
class Benchmark:
    """A data set and its imbalance profile.

    Attributes:
        name: as in a recipe's name, `cifar100lt`; IF is 100 unless the name says otherwise (`cifar100lt50`).
        data_set: the data set that it is a subset of; with a natural profile, the whole of it.
        profile: `exponential`, `step`, or `natural` for images in files, whose class counts are not chosen.
        imbalance_factor: IF = n_max / n_min.
        class_counts: n_j, training images of class j.
    """

    name: str
    data_set: DataSet
    profile: str
    imbalance_factor: float
    class_counts: tuple[int, ...]

    def enlarged(self, model_input: "ModelInput") -> "Benchmark":
        """Return the benchmark as a model sees it that has a size and normalisation of its own.

        Args:
            model_input: the model's; images are enlarged as a whole, whatever its `crop_pct` says.
        """
        seen = replace(
            self.data_set,
            image_size=model_input.size,
            mean=model_input.mean,
            std=model_input.std,
            crop_pct=1.0,
            interpolation=model_input.interpolation,
        )
        return replace(self, data_set=seen)


@dataclass(frozen=True)
class ModelInput:
    """How an image is preprocessed for a model, in timm's terms.

    Attributes:
        size: height and width in pixels.
        mean: mean of each channel, see `DataSet`.
        std: standard deviation of each channel.
        crop_pct: the share of a test image's shorter side that the centre crop keeps.
        interpolation: `bilinear` or `bicubic`.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str


NO_MODEL_INPUT = ModelInput(size=1, mean=(), std=(), crop_pct=1.0, interpolation="bicubic")
"""For benchmarks in files where no model is known and only classes, counts and groups matter."""


@dataclass(frozen=True)
class NaturalBenchmark:
    """A benchmark of image files; its class counts are known only once the files are found.

    Attributes:
        name: as in a recipe's name, `imagenetlt`.
        num_classes: C; None if it depends on the files.
        train_images: number of training images in the standard list; None if there is no standard list.
        count_cuts: see `DataSet`.
        hub_id: see `DataSet`.
    """

    name: str
    num_classes: int | None
    train_images: int | None
    count_cuts: tuple[int, int]
    hub_id: str | None = None

    def with_counts(
        self, class_counts: Sequence[int], class_names: Sequence[str], model_input: ModelInput
    ) -> Benchmark:
        """Make the benchmark.

        Args:
            class_counts: n_j, training images of class j, at least 1 each.
            class_names: names of the classes.
            model_input: how its images are preprocessed for the model.
        """
        counts = tuple(class_counts)
        data_set = DataSet(
            name=self.name,
            num_classes=len(counts),
            n_max=max(counts),
            image_size=model_input.size,
            channels=len(model_input.mean),
            mean=model_input.mean,
            std=model_input.std,
            test_images=None,
            count_cuts=self.count_cuts,
            class_names=tuple(class_names),
            hub_id=self.hub_id,
            crop_pct=model_input.crop_pct,
            interpolation=model_input.interpolation,
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
"""Benchmarks of image files: ImageNet-LT, iNaturalist 2018, and custom data sets (`imagefolder`)."""


def get_benchmark(name: str) -> Benchmark:
    """Look up a benchmark with fixed class counts.

    Raises:
        InputError: no benchmark has that name (the message lists the nearest), or its class counts depend on files.
    """
    if name in NATURAL_BENCHMARKS:
        raise InputError(
            f"the class counts of {name} are known only from its files; name a benchmark with fixed counts"
        )
    if name not in _BENCHMARKS:
        near = difflib.get_close_matches(name, [*_BENCHMARKS, *NATURAL_BENCHMARKS], n=3, cutoff=0)
        raise InputError(f"no benchmark is called {shown(name)}; the nearest are {', '.join(near)}")
    return _BENCHMARKS[name]


def list_benchmarks() -> list[str]:
    """List the names of the benchmarks with fixed class counts."""
    return list(_BENCHMARKS)
