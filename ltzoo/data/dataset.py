"""A benchmark as a torch data set, for any training loop."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from ltzoo.data.batches import EvalTransform
from ltzoo.data.benchmarks import (
    NATURAL_BENCHMARKS,
    NO_MODEL_INPUT,
    Benchmark,
    ModelInput,
    NaturalBenchmark,
    get_benchmark,
)
from ltzoo.data.files import DataLocation, ImageFiles, check_coverage, check_present, hold_out_files, open_files
from ltzoo.data.groups import Groups, all_groups
from ltzoo.data.memory import LabelledImages, load_held_out, load_test, load_train
from ltzoo.data.subset import Subset, read_subset
from ltzoo.errors import InputError

Transform = Callable[[Image.Image], Any]
"""From a PIL image to whatever the training loop needs."""

_SPLITS = ("train", "test", "held_out")


class BenchmarkImages(Dataset):
    """One split of a benchmark in memory: transformed images and labels, in torchvision's manner.

    Attributes:
        data: (N, H, W, channels) uint8.
        targets: N labels.
        class_counts: n_j, training images of class j in the benchmark, whichever split this is; train.py computes
            losses and groups from them also where some images are held out.
        class_names: what the labels mean.
        groups: for each rule that is defined on the benchmark, the classes of head, mid and tail.
        benchmark: the benchmark.
        subset: the training images that were kept, without those held out; None for the test set.
        transform: applied to each PIL image; None: the image is returned as it is.
    """

    def __init__(
        self, benchmark: Benchmark, images: LabelledImages, subset: Subset | None, transform: Transform | None
    ) -> None:
        self.images = images
        self.data: np.ndarray = images.images.numpy()
        self.targets: list[int] = images.labels.tolist()
        self.class_counts, self.class_names = benchmark.class_counts, benchmark.data_set.class_names
        self.groups: dict[str, Groups] = {groups.rule: groups for groups in all_groups(benchmark)}
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
        class_counts: n_j, training images of class j without those held out, whichever split this is.
        class_names: what the labels mean.
        classes: the same, under torchvision's name.
        groups: for each rule that is defined on the benchmark, the classes of head, mid and tail.
        transform: applied to each PIL image; None: the image is returned as it is.
    """

    def __init__(
        self, files: ImageFiles, class_counts: Sequence[int], groups: Sequence[Groups], transform: Transform | None
    ) -> None:
        self.files, self.targets = files, files.labels.tolist()
        self.class_counts, self.transform = tuple(class_counts), transform
        self.class_names = self.classes = files.class_names
        self.groups: dict[str, Groups] = {grouping.rule: grouping for grouping in groups}

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return the transformed image and its label."""
        image = self.files.image(index)
        return image if self.transform is None else self.transform(image), self.targets[index]


def create_dataset(
    name: str,
    root: str | Path | None = None,
    split: str = "train",
    *,
    data_dir: str | Path | None = None,
    hold_out: int | float | None = None,
    transform: Transform | Literal["eval"] | None = "eval",
    pretrained_cfg: Mapping[str, Any] | None = None,
    subset: str | Path = "cao",
    download: bool = False,
    **location: Any,
) -> BenchmarkImages | FileImages:
    """Make the long-tailed training set, the held-out images or the test set of a benchmark: those of train.py.

    Args:
        name: the benchmark: one that `list_benchmarks` lists, such as `cifar100lt`; `imagenetlt` or `inat18`;
            `imagefolder` for a custom data set.
        root: has one folder per data set, torchvision's or the Hub's parquet files; the digits need none. For images in
            files, see `ltzoo.data.files.DataLocation`. None: `data`.
        split: `train`, `test`, or `held_out` for the images that `hold_out` leaves out of `train`.
        data_dir: the same as `root`, under the name of train.py's option; give one of the two.
        hold_out: hold so many images of each class out of the training split, or a share of each class (images in files
            alone), as train.py's `--hold-out` does: always the same ones.
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
        InputError: there is no such benchmark, split, subset rule or transform, the data cannot be used, so many images
            cannot be held out, `pretrained_cfg` is missing where it is needed, or does not fit, or both `root` and
            `data_dir` are given.
    """
    if split not in _SPLITS:
        raise InputError(f"a benchmark has the splits train and test, and held_out with hold_out, not {split!r}")
    if split == "held_out" and hold_out is None:
        raise InputError("the split held_out has the images that hold_out leaves out of train; give hold_out")
    if root is not None and data_dir is not None:
        raise InputError(f"root is {root} and data_dir is {data_dir}; give one of them")
    folder = Path(next(given for given in (root, data_dir, "data") if given is not None))
    if isinstance(transform, str) and transform != "eval":
        raise InputError(f"no transform is called {transform!r}; choose 'eval', None for PIL images, or a callable")
    if name in NATURAL_BENCHMARKS:
        where = DataLocation(folder, download=download, **location)
        return _in_files(NATURAL_BENCHMARKS[name], where, split, hold_out, transform, pretrained_cfg)
    benchmark = get_benchmark(name)
    if location:
        raise InputError(f"{', '.join(location)} is for image files, and {name} has none; leave it out")
    if pretrained_cfg is not None:
        raise InputError(f"{name} has its own image size and normalisation; leave pretrained_cfg out")
    chosen = EvalTransform(benchmark.data_set, in_memory=True) if isinstance(transform, str) else transform
    if split == "test":
        return BenchmarkImages(benchmark, load_test(benchmark, folder, download), None, chosen)
    wanted = read_subset(Path(subset)) if isinstance(subset, Path) or Path(subset).suffix else subset
    if hold_out is None:
        images, kept = load_train(benchmark, wanted, folder, download)
        return BenchmarkImages(benchmark, images, kept, chosen)
    if not isinstance(hold_out, int):
        raise InputError(f"hold_out must be a whole number of images per class for {name}, not {hold_out!r}")
    images, kept, held_out = load_held_out(benchmark, wanted, hold_out, folder, download)
    if split == "held_out":
        return BenchmarkImages(benchmark, held_out, None, chosen)
    return BenchmarkImages(benchmark, images, kept, chosen)


def _in_files(
    natural: NaturalBenchmark,
    location: DataLocation,
    split: str,
    hold_out: int | float | None,
    transform: Transform | Literal["eval"] | None,
    pretrained_cfg: Mapping[str, Any] | None,
) -> FileImages:
    model_input = _model_input(natural, pretrained_cfg) if isinstance(transform, str) else None
    whole = open_files(natural, "train", location)
    if whole is None:
        raise InputError(f"{location.data_dir} has no train images; see DataLocation in ltzoo.data.files")
    train, held_out = (whole, None) if hold_out is None else hold_out_files(whole, hold_out)
    test = open_files(natural, "test", location, whole.class_names) if split == "test" else None
    files = {"train": train, "test": test, "held_out": held_out}[split]
    if files is None:
        raise InputError(f"{location.data_dir} has no {split} images; see DataLocation in ltzoo.data.files")
    check_coverage(train)
    check_present(files)
    benchmark = natural.with_counts(train.class_counts, train.class_names, model_input or NO_MODEL_INPUT)
    if model_input is not None:
        transform = EvalTransform(benchmark.data_set, in_memory=False)
    groups = all_groups(benchmark)
    return FileImages(files, train.class_counts, groups, transform)  # type: ignore[arg-type]  # no text any more


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
