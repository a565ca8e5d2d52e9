"""Data sets that fit into memory, as they are stored: CIFAR-10, CIFAR-100 and scikit-learn's digits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import datasets as torchvision_datasets

from ltzoo.data.benchmarks import DATASETS, DataSet
from ltzoo.errors import InputError, first_line
from ltzoo.reading.content import open_regular
from ltzoo.reading.images import open_image

_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
LABEL_COLUMNS = {"cifar10": "label", "cifar100": "fine_label"}

LAYOUT = "ltzoo_layout"
"""The metadata key under which a packed copy stores the order that its images are in."""

_MOST_ROWS, _MOST_BYTES = 2**20, 2**31
"""Rows and bytes of a parquet file of CIFAR; there are 50000 training images of 3 KiB."""

DIGITS_TEST_IMAGES = 40
"""Test images of each class of the digits."""


@dataclass(frozen=True)
class ImageSource:
    """A split of a data set as it is stored. Labels are read at once, images only for the requested indices.

    Attributes:
        labels: (N,) int64, in the stored order.
        decode: indices (n,) to images (n, H, W, channels) uint8.
        origin: where the split was read from, for messages.
        layout: the order that the images are stored in: `torchvision`, `parquet`, `scikit-learn`.
    """

    labels: np.ndarray
    decode: Callable[[np.ndarray], Tensor]
    origin: str
    layout: str


def cifar_source(name: str, split: str, data_dir: Path, download: bool) -> ImageSource:
    """Open a split of CIFAR.

    Args:
        name: `cifar10` or `cifar100`.
        split: `train` or `test`.
        data_dir: holds torchvision's folder (`cifar-100-python/`) or the Hub's files (`cifar100/train-*.parquet`).
        download: fetch the data set through torchvision if neither is there.

    Raises:
        InputError: neither is there, or what is there cannot be read.
    """
    files = sorted((data_dir / name).glob(f"{split}-*.parquet"))
    if files and not (data_dir / _FOLDERS[name]).is_dir():
        return _parquet(DATASETS[name], split, files)
    if (data_dir / _FOLDERS[name]).is_dir() or download:
        return _torchvision(name, split, data_dir, download)
    raise InputError(
        f"no {name} in {data_dir}: neither {_FOLDERS[name]}/ nor {name}/{split}-*.parquet is there; "
        "name the folder with --data-dir, or add --download"
    )


def _torchvision(name: str, split: str, data_dir: Path, download: bool) -> ImageSource:
    """Read torchvision's folder; it checks the files' MD5 sums before it opens them."""
    kind = {"cifar10": torchvision_datasets.CIFAR10, "cifar100": torchvision_datasets.CIFAR100}[name]
    try:
        data = kind(data_dir, train=split == "train", download=download)
    except (RuntimeError, OSError) as error:
        folder = data_dir / _FOLDERS[name]
        advice = "check the network" if download else "remove it and add --download"
        raise InputError(
            f"{folder} cannot be {'fetched' if download else 'read'} ({first_line(error)[:160]}); {advice}"
        ) from error

    def decode(indices: np.ndarray) -> Tensor:
        return torch.from_numpy(data.data[indices])

    return ImageSource(np.asarray(data.targets, dtype=np.int64), decode, str(data_dir / _FOLDERS[name]), "torchvision")


def _parquet(data_set: DataSet, split: str, files: list[Path]) -> ImageSource:
    """Read the Hub's parquet files: `img` {bytes, path} and the label column."""
    folder, column = files[0].parent, LABEL_COLUMNS[data_set.name]
    try:
        for file in files:
            open_regular(file).close()  # arrow would wait for the writer of a pipe
        metadata = pq.read_schema(files[0]).metadata or {}
        missing = {"img", column} - set.intersection(*(set(pq.read_schema(file).names) for file in files))
        if missing:
            raise InputError(
                f"{files[0]} has no column {', '.join(sorted(missing))}; "
                f"the Hub's files of {data_set.name} have img and {column}"
            )
        table = pa.concat_tables([_read_table(file, ["img", column]) for file in files])
        labels = table[column].cast(pa.int64()).fill_null(-1).to_numpy()
        if not pa.types.is_struct(table.schema.field("img").type):
            raise TypeError("img is no struct of bytes and path")
        encoded = table["img"].combine_chunks().field("bytes")
        if not (pa.types.is_binary(encoded.type) or pa.types.is_large_binary(encoded.type)):
            raise TypeError(f"img.bytes holds {encoded.type}")
    except InputError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the parquet files {folder}/{split}-* cannot be read ({first_line(error)[:160]}); fetch them again"
        ) from error
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= data_set.num_classes:
        found = f"labels {labels.min()} to {labels.max()}" if len(labels) else "no image"
        raise InputError(
            f"{folder}/{split}-* holds {found}, not {data_set.num_classes} classes; fetch {data_set.name} again"
        )

    def decode(indices: np.ndarray) -> Tensor:
        side = data_set.image_size
        images = np.empty((len(indices), side, side, data_set.channels), dtype=np.uint8)
        for position, index in enumerate(indices):
            content = encoded[index].as_py()
            if content is None and LAYOUT.encode() in metadata:
                raise InputError(
                    f"image {index} of {folder}/{split}-* is missing: the copy was packed for other benchmarks; "
                    "pack it again for this one"
                )
            try:
                with open_image(content or b"") as image:
                    width, height = image.size
                    # An image of another size is not decoded.
                    pixels = np.asarray(image.convert("RGB")) if (height, width) == (side, side) else None
            # For damaged files Pillow passes on whatever the decoder of the format raises.
            except Exception as error:
                raise InputError(
                    f"image {index} of {folder}/{split}-* cannot be decoded; fetch {data_set.name} again"
                ) from error
            if pixels is None:
                raise InputError(
                    f"image {index} of {folder}/{split}-* is {width} x {height} pixels, "
                    f"not {side} x {side}: this is not {data_set.name}"
                )
            images[position] = pixels
        return torch.from_numpy(images)

    layout = metadata.get(LAYOUT.encode(), b"parquet").decode("utf-8", "replace")
    return ImageSource(labels, decode, str(folder), layout)


def _read_table(file: Path, columns: list[str]) -> pa.Table:
    """Read columns of a parquet file in parts, as long as they stay small: a few bytes can stand for many rows.

    Raises:
        ValueError: it has too many rows or bytes, as no file of CIFAR.
    """
    with open_regular(file) as opened, pq.ParquetFile(opened) as parquet:
        if parquet.metadata.num_rows > _MOST_ROWS:
            raise ValueError(f"{parquet.metadata.num_rows} rows in one file")
        parts, size = [], 0
        for part in parquet.iter_batches(1024, columns=columns):
            parts.append(part)
            size += part.nbytes
            if size > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES >> 20} MiB in one file")
        return pa.Table.from_batches(parts, pa.schema([parquet.schema_arrow.field(name) for name in columns]))


def digits_source(split: str) -> ImageSource:
    """Read the digits, 8 x 8 grey images enlarged to 16 x 16.

    The split is fixed: one seeded shuffle per class, the first 40 images for the test, the others for training.

    Args:
        split: `train` or `test`.
    """
    from sklearn.datasets import load_digits  # imported here because it takes seconds and only the digits need it

    digits = load_digits()
    generator = np.random.RandomState(0)
    shuffled = [generator.permutation(np.flatnonzero(digits.target == j)) for j in range(10)]
    kept = [indices[:DIGITS_TEST_IMAGES] if split == "test" else indices[DIGITS_TEST_IMAGES:] for indices in shuffled]
    chosen = np.concatenate(kept)
    small = torch.from_numpy(digits.images[chosen]).float().unsqueeze(1) * (255 / 16)
    images = F.interpolate(small, size=16, mode="bilinear", align_corners=False).round().to(torch.uint8)

    def decode(indices: np.ndarray) -> Tensor:
        return images[torch.from_numpy(indices)].permute(0, 2, 3, 1).contiguous()

    return ImageSource(digits.target[chosen].astype(np.int64), decode, "scikit-learn's digits", "scikit-learn")
