"""From a benchmark's name to images in memory."""

from pathlib import Path

import numpy as np
import torch

from ltzoo.data.benchmarks import Benchmark
from ltzoo.data.cifar import cifar_source
from ltzoo.data.digits import digits_source
from ltzoo.data.images import ImageSource, LabelledImages
from ltzoo.data.subset import Subset, check_subset, select_subset
from ltzoo.errors import InputError


def _source(benchmark: Benchmark, split: str, data_dir: Path, download: bool) -> ImageSource:
    if benchmark.data_set.name == "digits":
        return digits_source(split)
    if not data_dir.is_dir() and (data_dir.exists() or not download):
        found = "is no folder" if data_dir.exists() else "does not exist"
        raise InputError(f"the data folder {data_dir} {found}; name one with --data-dir, or add --download to make one")
    return cifar_source(benchmark.data_set.name, split, data_dir, download)


def load_subset(benchmark: Benchmark, rule: str, data_dir: Path, download: bool = False) -> Subset:
    """Choose the benchmark's training images, without decoding them.

    Args:
        benchmark: the benchmark.
        rule: a key of `SUBSET_RULES`.
        data_dir: holds a folder a data set; the digits need none.
        download: fetch a missing data set.

    Raises:
        InputError: the data are missing, unreadable, or have too few images of a class.
    """
    source = _source(benchmark, "train", data_dir, download)
    return select_subset(source.labels, benchmark.class_counts, rule, source.layout)


def load_train(
    benchmark: Benchmark, subset: str | Subset, data_dir: Path, download: bool = False
) -> tuple[LabelledImages, Subset]:
    """Load the benchmark's long-tailed training images.

    Args:
        benchmark: the benchmark.
        subset: which images are kept: a key of `SUBSET_RULES`, or a subset that was read from a file.
        data_dir: holds a folder a data set; the digits need none.
        download: fetch a missing data set.

    Returns:
        The images, and the subset that they are.

    Raises:
        InputError: the data are missing, unreadable, or have too few images of a class; the subset does not fit them.
    """
    source = _source(benchmark, "train", data_dir, download)
    if isinstance(subset, str):
        subset = select_subset(source.labels, benchmark.class_counts, subset, source.layout)
    else:
        check_subset(subset, source.labels, benchmark.class_counts, source.layout)
    return _decode(source, subset.indices), subset


def load_test(benchmark: Benchmark, data_dir: Path, download: bool = False) -> LabelledImages:
    """Load the benchmark's whole, balanced test set.

    Args:
        benchmark: the benchmark.
        data_dir: holds a folder a data set; the digits need none.
        download: fetch a missing data set.

    Raises:
        InputError: the data are missing, unreadable or not whole.
    """
    source = _source(benchmark, "test", data_dir, download)
    expected = benchmark.data_set.test_images
    images = np.bincount(source.labels, minlength=benchmark.data_set.num_classes)
    wrong = [f"class {j} has {n}" for j, n in enumerate(images.tolist()) if n != expected]
    if wrong:
        found = f"{', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}"
        raise InputError(f"the test set in {source.origin} is not whole: {found} of {expected} images; fetch it again")
    return _decode(source, np.arange(len(source.labels)))


def _decode(source: ImageSource, indices: np.ndarray) -> LabelledImages:
    return LabelledImages(source.decode(indices), torch.from_numpy(source.labels[indices]))
