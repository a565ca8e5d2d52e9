"""A benchmark as a torch data set, for anybody's training loop."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ltzoo.data.benchmarks import NATURAL_BENCHMARKS, Benchmark, NaturalBenchmark, get_benchmark
from ltzoo.data.files import ImageFiles, Place, check_coverage, open_files
from ltzoo.data.images import LabelledImages
from ltzoo.data.loading import load_test, load_train
from ltzoo.data.subset import Subset, read_subset
from ltzoo.errors import InputError


class BenchmarkImages(Dataset):
    """One split of a benchmark, images as PIL and labels as numbers, in torchvision's manner.

    Attributes:
        data: (N, H, W, channels) uint8.
        targets: N labels.
        class_counts: n_j, training images of class j, whichever split this is.
        benchmark: the benchmark.
        subset: the training images that were kept; None for the test set.
        transform: what is done to an image, None for nothing.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        images: LabelledImages,
        subset: Subset | None,
        transform: Callable[[Image.Image], Any] | None,
    ) -> None:
        self.images = images
        self.data: np.ndarray = images.images.numpy()
        self.targets: list[int] = images.labels.tolist()
        self.class_counts = benchmark.class_counts
        self.benchmark, self.subset, self.transform = benchmark, subset, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the image, transformed, and its label."""
        image = self.images.image(index)
        return image if self.transform is None else self.transform(image), self.targets[index]


class FileImages(Dataset):
    """One split of a benchmark whose images lie in files, images as PIL and labels as numbers.

    Attributes:
        files: where each image is.
        targets: N labels.
        class_counts: n_j, training images of class j, whichever split this is.
        classes: what the labels mean.
        transform: what is done to an image, None for nothing.
    """

    def __init__(
        self, files: ImageFiles, class_counts: Sequence[int], transform: Callable[[Image.Image], Any] | None
    ) -> None:
        self.files, self.targets = files, files.labels.tolist()
        self.class_counts, self.classes, self.transform = tuple(class_counts), files.class_names, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the image, transformed, and its label."""
        image = self.files.image(index)
        return image if self.transform is None else self.transform(image), self.targets[index]


def create_dataset(
    name: str,
    root: str | Path = "data",
    split: str = "train",
    *,
    transform: Callable[[Image.Image], Any] | None = None,
    subset: str | Path = "cao",
    download: bool = False,
    **place: Any,
) -> BenchmarkImages | FileImages:
    """Make the long-tailed training set, or the test set, of a benchmark.

    Args:
        name: the benchmark, `cifar100lt` for instance; `imagefolder` for images of one's own.
        root: holds a folder a data set, torchvision's or the Hub's parquet files; the digits need none. Of images in
            files, see `ltzoo.data.files.Place`.
        split: `train` or `test`.
        transform: from a PIL image to whatever the loop wants; torchvision's and timm's fit.
        subset: which training images are kept: `cao` (paper A), `first` (paper B), or a subset file: a `Path`, or text
            with a suffix such as `mine.json`. Images in files are all kept.
        download: fetch a missing data set.
        **place: for images in files, `image_root`, `image_column` and `label_column` of `Place`.

    Raises:
        InputError: there is no such benchmark, split or rule, or the data cannot be used.
    """
    if split not in ("train", "test"):
        raise InputError(f"a benchmark has the splits train and test, not {split!r}")
    if name in NATURAL_BENCHMARKS:
        return _in_files(NATURAL_BENCHMARKS[name], Place(Path(root), download=download, **place), split, transform)
    benchmark = get_benchmark(name)
    if split == "test":
        return BenchmarkImages(benchmark, load_test(benchmark, Path(root), download), None, transform)
    wanted = read_subset(Path(subset)) if isinstance(subset, Path) or Path(subset).suffix else subset
    images, kept = load_train(benchmark, wanted, Path(root), download)
    return BenchmarkImages(benchmark, images, kept, transform)


def _in_files(
    natural: NaturalBenchmark, place: Place, split: str, transform: Callable[[Image.Image], Any] | None
) -> FileImages:
    train = open_files(natural, "train", place)
    files = train if train is None or split == "train" else open_files(natural, "test", place, train.class_names)
    if train is None or files is None:
        raise InputError(f"{place.data_dir} has no {split} images; see ltzoo.data.files.Place for what it can be")
    check_coverage(train)
    return FileImages(files, train.class_counts, transform)
