"""From a benchmark whose images lie in files, and a place, to one of its splits."""

from collections.abc import Sequence
from typing import Literal

from ltzoo.data.benchmarks import NaturalBenchmark
from ltzoo.data.files.classes import aligned
from ltzoo.data.files.fixed import FIXED, open_fixed
from ltzoo.data.files.hub_dataset import is_hub, splits_of_hub
from ltzoo.data.files.own import splits_of_file, splits_of_folder
from ltzoo.data.files.place import Place
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError

_INSTEAD = {"val": "test", "test": "val"}


def open_files(
    benchmark: NaturalBenchmark,
    split: Literal["train", "val", "test"],
    place: Place,
    class_names: Sequence[str] | None = None,
) -> ImageFiles | None:
    """Find the images of a split and their classes. No image is opened, and none is asked for (see `check_present`).

    Of images of one's own, whichever of `val` and `test` is there serves as the other too.

    Args:
        benchmark: whose.
        split: which.
        place: where they lie.
        class_names: those of the training split, whose order the labels follow; None for the training split itself.

    Returns:
        The split; None where images of one's own have neither `val` nor `test`.

    Raises:
        InputError: nothing is there, or what is there cannot be used or contradicts itself, the benchmark or the
            training split.
    """
    if place.image_root is not None and not place.image_root.is_dir():
        raise InputError(f"the folder {place.image_root} is not there; name what paths start from with --image-root")
    if benchmark.name in FIXED:
        return open_fixed(benchmark, split, place, class_names)
    if is_hub(place.data_dir):
        splits = splits_of_hub(place)
    elif place.data_dir.is_dir():
        splits = splits_of_folder(place)
    elif place.data_dir.exists():
        splits = splits_of_file(place)
    else:
        raise InputError(f"{place.data_dir} does not exist; name a folder or a list with --data-dir")
    chosen = split if split in splits else _INSTEAD.get(split)
    if chosen not in splits:
        if split == "train":
            raise InputError(f"{place.data_dir} has no split train, only {' and '.join(splits)}; name one that has")
        return None
    files = splits[chosen]()
    return files if class_names is None else aligned(files, class_names)
