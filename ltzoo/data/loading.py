"""From a benchmark's name to images in memory."""

from pathlib import Path

import numpy as np
import torch

from ltzoo.data.benchmarks import Benchmark
from ltzoo.data.cifar import cifar_source
from ltzoo.data.digits import digits_source
from ltzoo.data.holdout import hold_out
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
    chosen = _choose(source, benchmark, subset)
    return _decode(source, chosen.indices), chosen


def load_held_out(
    benchmark: Benchmark, subset: str | Subset, per_class: int, data_dir: Path, download: bool = False
) -> tuple[LabelledImages, Subset, LabelledImages]:
    """Load training images, and a balanced set of others from the training split to measure on, see `hold_out`.

    Args:
        benchmark: the benchmark.
        subset: which images are kept before any is held out, see `load_train`.
        per_class: images of each class to hold out.
        data_dir: holds a folder a data set; the digits need none.
        download: fetch a missing data set.

    Returns:
        The training images, the subset that they are, and the images held out.

    Raises:
        InputError: as `load_train`, or a class would be left without a training image.
    """
    source = _source(benchmark, "train", data_dir, download)
    kept, held_out = hold_out(source.labels, _choose(source, benchmark, subset), per_class)
    return _decode(source, kept.indices), kept, _decode(source, held_out)


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


def _choose(source: ImageSource, benchmark: Benchmark, subset: str | Subset) -> Subset:
    """Choose the training images by a rule, or see that those of a file fit."""
    if isinstance(subset, str):
        return select_subset(source.labels, benchmark.class_counts, subset, source.layout)
    check_subset(subset, source.labels, benchmark.class_counts, source.layout)
    return subset


def _decode(source: ImageSource, indices: np.ndarray) -> LabelledImages:
    return LabelledImages(source.decode(indices), torch.from_numpy(source.labels[indices]))
