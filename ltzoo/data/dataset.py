"""A benchmark as a torch data set, for any training loop."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ltzoo.data.batches import EvalTransform
from ltzoo.data.benchmarks import NATURAL_BENCHMARKS, Benchmark, ModelInput, NaturalBenchmark, get_benchmark
from ltzoo.data.files import DataLocation, ImageFiles, check_coverage, open_files
from ltzoo.data.memory import LabelledImages, load_test, load_train
from ltzoo.data.subset import Subset, read_subset
from ltzoo.errors import InputError

Transform = Callable[[Image.Image], Any]
"""From a PIL image to whatever the training loop needs."""


class BenchmarkImages(Dataset):
    """One split of a benchmark in memory: transformed images and labels, in torchvision's manner.

    Attributes:
        data: (N, H, W, channels) uint8.
        targets: N labels.
        class_counts: n_j, training images of class j, whichever split this is.
        benchmark: the benchmark.
        subset: the training images that were kept; None for the test set.
        transform: applied to each PIL image; None: the image is returned as it is.
    """

    def __init__(
        self, benchmark: Benchmark, images: LabelledImages, subset: Subset | None, transform: Transform | None
    ) -> None:
        self.images = images
        self.data: np.ndarray = images.images.numpy()
        self.targets: list[int] = images.labels.tolist()
        self.class_counts = benchmark.class_counts
        self.benchmark, self.subset, self.transform = benchmark, subset, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the transformed image and its label."""
        image = self.images.image(index)
        return image if self.transform is None else self.transform(image), self.targets[index]


class FileImages(Dataset):
    """One split of a benchmark in files: transformed images and labels.

    Attributes:
        files: where each image is.
        targets: N labels.
        class_counts: n_j, training images of class j, whichever split this is.
        classes: what the labels mean.
        transform: applied to each PIL image; None: the image is returned as it is.
    """

    def __init__(self, files: ImageFiles, class_counts: Sequence[int], transform: Transform | None) -> None:
        self.files, self.targets = files, files.labels.tolist()
        self.class_counts, self.classes, self.transform = tuple(class_counts), files.class_names, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the transformed image and its label."""
        image = self.files.image(index)
        return image if self.transform is None else self.transform(image), self.targets[index]


def create_dataset(
    name: str,
    root: str | Path = "data",
    split: str = "train",
    *,
    transform: Transform | Literal["eval"] | None = "eval",
    pretrained_cfg: Mapping[str, Any] | None = None,
    subset: str | Path = "cao",
    download: bool = False,
    **location: Any,
) -> BenchmarkImages | FileImages:
    """Make the long-tailed training set, or the test set, of a benchmark.

    Args:
        name: the benchmark, such as `cifar100lt`; `imagefolder` for a custom data set.
        root: has one folder per data set, torchvision's or the Hub's parquet files; the digits need none. For images in
            files, see `ltzoo.data.files.DataLocation`.
        split: `train` or `test`.
        transform: `eval` for the benchmark's evaluation transform: each image is a normalised float32 tensor (channels,
            H, W), exactly the pixels that `validate` measures on. None for PIL images. A callable is applied to each
            PIL image; torchvision's and timm's transforms fit.
        pretrained_cfg: for images in files, whose size and normalisation depend on the model: the model's
            `pretrained_cfg`, or what `timm.data.resolve_model_data_config` returns. `eval` needs it there.
        subset: which training images are kept: `cao` (Rangwani 2022), `first` (Lyu 2025), or a subset file: a `Path`,
            or text with a suffix such as `mine.json`. Images in files are all kept.
        download: download a missing data set.
        **location: for images in files, the other fields of `DataLocation`, such as `image_root` and `class_folder`.

    Raises:
        InputError: there is no such benchmark, split, subset rule or transform, the data cannot be used, or
            `pretrained_cfg` is missing where it is needed, or does not fit.
    """
    if split not in ("train", "test"):
        raise InputError(f"a benchmark has the splits train and test, not {split!r}")
    if isinstance(transform, str) and transform != "eval":
        raise InputError(f"no transform is called {transform!r}; choose 'eval', None for PIL images, or a callable")
    if name in NATURAL_BENCHMARKS:
        where = DataLocation(Path(root), download=download, **location)
        return _in_files(NATURAL_BENCHMARKS[name], where, split, transform, pretrained_cfg)
    benchmark = get_benchmark(name)
    if location:
        raise InputError(f"{', '.join(location)} is for image files, and {name} has none; leave it out")
    if pretrained_cfg is not None:
        raise InputError(f"{name} has its own image size and normalisation; leave pretrained_cfg out")
    chosen = EvalTransform(benchmark.data_set, in_memory=True) if isinstance(transform, str) else transform
    if split == "test":
        return BenchmarkImages(benchmark, load_test(benchmark, Path(root), download), None, chosen)
    wanted = read_subset(Path(subset)) if isinstance(subset, Path) or Path(subset).suffix else subset
    images, kept = load_train(benchmark, wanted, Path(root), download)
    return BenchmarkImages(benchmark, images, kept, chosen)


def _in_files(
    natural: NaturalBenchmark,
    location: DataLocation,
    split: str,
    transform: Transform | Literal["eval"] | None,
    pretrained_cfg: Mapping[str, Any] | None,
) -> FileImages:
    model_input = _model_input(natural, pretrained_cfg) if isinstance(transform, str) else None
    train = open_files(natural, "train", location)
    files = train if train is None or split == "train" else open_files(natural, "test", location, train.class_names)
    if train is None or files is None:
        raise InputError(
            f"{location.data_dir} has no {split} images; see ltzoo.data.files.DataLocation for what it can be"
        )
    check_coverage(train)
    if model_input is not None:
        data_set = natural.with_counts(train.class_counts, train.class_names, model_input).data_set
        transform = EvalTransform(data_set, in_memory=False)
    return FileImages(files, train.class_counts, transform)  # type: ignore[arg-type]  # no text any more


def _model_input(natural: NaturalBenchmark, cfg: Mapping[str, Any] | None) -> ModelInput:
    """Read how images reach a model from timm's description of it."""
    if cfg is None:
        raise InputError(
            f"the image size of {natural.name} depends on the model; give pretrained_cfg=model.pretrained_cfg, "
            "or transform=None for PIL images"
        )
    try:
        channels, size, _ = cfg["input_size"]
        found = ModelInput(size, tuple(cfg["mean"]), tuple(cfg["std"]), cfg["crop_pct"], cfg["interpolation"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "pretrained_cfg must have input_size, mean, std, crop_pct and interpolation, as that of a timm model has"
        ) from error
    if channels != 3:
        raise InputError(
            f"the model needs images with {channels} channels, but image files are read as RGB; use another model"
        )
    return found
