"""The data sets that benchmarks are cut from, as a model sees them."""

from dataclasses import dataclass

from ltzoo.data.class_names import CIFAR10, CIFAR100, DIGITS


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        name: `cifar10`, `cifar100`, `digits`, or that of a natural benchmark.
        num_classes: C.
        n_max: training images of a class before any is left out, by definition and not by counting; with a natural
            profile, of the largest class.
        image_size: height and width in pixels, as they reach the model.
        channels: 3 for RGB, 1 for grey.
        mean: mean of each channel that is taken off, images scaled to [0, 1].
        std: standard deviation of each channel that they are divided by.
        test_images: test images of each class; None where classes may differ.
        count_cuts: (a, b) of the `count` grouping: head n > a, mid b <= n <= a, tail n < b.
        class_names: what the labels mean.
        hub_id: its name on the Hugging Face Hub, None where it is not there.
        crop_pct: the share of the shorter side that is kept of a test image, as in timm.
        interpolation: how a file's image is resized, as in timm.
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


# Both papers normalise CIFAR-100 with CIFAR-10's statistics.
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

DATASETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet("cifar10", 10, 5000, 32, 3, _CIFAR_MEAN, _CIFAR_STD, 1000, (1000, 200), CIFAR10, "uoft-cs/cifar10"),
        DataSet("cifar100", 100, 500, 32, 3, _CIFAR_MEAN, _CIFAR_STD, 100, (100, 20), CIFAR100, "uoft-cs/cifar100"),
        DataSet("digits", 10, 130, 16, 1, (0.3071,), (0.3199,), 40, (100, 20), DIGITS, None),
    )
}
