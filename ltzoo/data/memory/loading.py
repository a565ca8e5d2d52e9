"""The training, held-out and test images of a benchmark, decoded into memory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ltzoo.data.benchmarks import Benchmark
from ltzoo.data.memory.sources import ImageSource, cifar_source, digits_source
from ltzoo.data.subset import Subset, check_subset, hold_out, select_subset
from ltzoo.errors import InputError


@dataclass(frozen=True)
class LabelledImages:
    """Decoded images of one split.

    Attributes:
        images: (N, H, W, channels) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def image(self, index: int) -> Image.Image:
        """Return one as a PIL image: RGB, or grey where there is one channel."""
        pixels = self.images[index].numpy()
        return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def _source(benchmark: Benchmark, split: str, data_dir: Path, download: bool) -> ImageSource:
    if benchmark.data_set.name == "digits":
        return digits_source(split)
    if not data_dir.is_dir() and (data_dir.exists() or not download):
        found = "is not a folder" if data_dir.exists() else "does not exist"
        raise InputError(f"the data folder {data_dir} {found}; name one with --data-dir, or add --download to make one")
    return cifar_source(benchmark.data_set.name, split, data_dir, download)


def load_subset(benchmark: Benchmark, rule: str, data_dir: Path, download: bool = False) -> Subset:
    """Choose the benchmark's training images, without decoding them.

    Args:
        benchmark: the benchmark.
        rule: a key of `SUBSET_RULES`.
        data_dir: has one folder per data set; the digits need none.
        download: download a missing data set.

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
        subset: which images are kept: a key of `SUBSET_RULES`, or a subset read from a file.
        data_dir: has one folder per data set; the digits need none.
        download: download a missing data set.

    Returns:
        The images, and the subset that they form.

    Raises:
        InputError: the data are missing, unreadable, or have too few images of a class; the subset does not fit them.
    """
    source = _source(benchmark, "train", data_dir, download)
    chosen = _choose(source, benchmark, subset)
    return _decode(source, chosen.indices), chosen


def load_held_out(
    benchmark: Benchmark, subset: str | Subset, per_class: int, data_dir: Path, download: bool = False
) -> tuple[LabelledImages, Subset, LabelledImages]:
    """Load training images, and a balanced held-out set from the same split to measure on, see `hold_out`.

    Args:
        benchmark: the benchmark.
        subset: which images are kept before any is held out, see `load_train`.
        per_class: images of each class to hold out.
        data_dir: has one folder per data set; the digits need none.
        download: download a missing data set.

    Returns:
        The training images, the subset that they form, and the held-out images.

    Raises:
        InputError: as for `load_train`, or a class would have no training image left.
    """
    source = _source(benchmark, "train", data_dir, download)
    kept, held_out = hold_out(source.labels, _choose(source, benchmark, subset), per_class)
    return _decode(source, kept.indices), kept, _decode(source, held_out)


def load_test(benchmark: Benchmark, data_dir: Path, download: bool = False) -> LabelledImages:
    """Load the benchmark's whole, balanced test set.

    Args:
        benchmark: the benchmark.
        data_dir: has one folder per data set; the digits need none.
        download: download a missing data set.

    Raises:
        InputError: the data are missing, unreadable or incomplete.
    """
    source = _source(benchmark, "test", data_dir, download)
    expected = benchmark.data_set.test_images
    images = np.bincount(source.labels, minlength=benchmark.data_set.num_classes)
    wrong = [f"class {j} has {n}" for j, n in enumerate(images.tolist()) if n != expected]
    if wrong:
        found = f"{', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}"
        raise InputError(
            f"the test set in {source.origin} is incomplete: {found} of {expected} images; download it again"
        )
    return _decode(source, np.arange(len(source.labels)))


def _choose(source: ImageSource, benchmark: Benchmark, subset: str | Subset) -> Subset:
    """Choose the training images by a rule, or check that those of a subset file fit."""
    if isinstance(subset, str):
        return select_subset(source.labels, benchmark.class_counts, subset, source.layout)
    check_subset(subset, source.labels, benchmark.class_counts, source.layout)
    return subset


def _decode(source: ImageSource, indices: np.ndarray) -> LabelledImages:
    return LabelledImages(source.decode(indices), torch.from_numpy(source.labels[indices]))
