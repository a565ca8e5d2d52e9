"""A compact copy of CIFAR for a machine without the data: every label, and the images that are needed."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ltzoo.atomic_write import atomic_folder
from ltzoo.data.memory.sources import LABEL_COLUMNS, LAYOUT, ImageSource, cifar_source
from ltzoo.data.subset import Subset, hold_out
from ltzoo.errors import InputError


def pack(data_set: str, subsets: Sequence[Subset], data_dir: Path, output: Path, held_out: int | None = None) -> int:
    """Write the images of some subsets, and the test set, as parquet files in the Hub's layout.

    All labels of the training split are kept in their order, so that a subset rule chooses the same images from the
    copy; an image that is in no subset is null. Images are stored as lossless WebP.

    Args:
        data_set: `cifar10` or `cifar100`.
        subsets: which training images are needed.
        data_dir: the folder of the data set.
        output: where a folder with the data set's name is written.
        held_out: images of each class to hold out of every subset, see `hold_out`; None for none.

    Returns:
        The size of the copy in bytes.

    Raises:
        InputError: the data are missing or unreadable, a subset refers to another copy of them, there are too few
            images to hold out, or the copy exists already.
    """
    folder = output / data_set
    if folder.exists():
        raise InputError(f"{folder} exists; remove it, or pack into another folder")
    sources = {split: cifar_source(data_set, split, data_dir, download=False) for split in ("train", "test")}
    other = [subset.layout for subset in subsets if subset.layout != sources["train"].layout]
    if other:
        raise InputError(f"a subset points into images in the order {other[0]}, not {sources['train'].layout}")
    kept = [subset.indices for subset in subsets]
    if held_out is not None:
        kept += [hold_out(sources["train"].labels, subset, held_out)[1] for subset in subsets]
    needed = {
        "train": np.unique(np.concatenate(kept)),
        "test": np.arange(len(sources["test"].labels)),
    }
    with atomic_folder(folder) as fresh:
        for split, source in sources.items():
            _write(fresh / f"{split}-00000-of-00001.parquet", source, needed[split], LABEL_COLUMNS[data_set])
    return sum(path.stat().st_size for path in folder.iterdir())


def _write(path: Path, source: ImageSource, needed: np.ndarray, label_column: str) -> None:
    encoded: list[dict[str, bytes | None]] = [{"bytes": None}] * len(source.labels)
    for index, image in zip(needed, source.decode(needed).numpy(), strict=True):
        encoded[index] = {"bytes": _webp(image)}
    images = pa.array(encoded, pa.struct([("bytes", pa.binary())]))
    table = pa.table({"img": images, label_column: pa.array(source.labels)})
    pq.write_table(table.replace_schema_metadata({LAYOUT: source.layout}), path)


def _webp(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="WEBP", lossless=True, quality=75, method=4)
    return content.getvalue()
