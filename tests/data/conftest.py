"""Small copies of CIFAR, in the Hub's layout and in torchvision's."""

import hashlib
import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from ltzoo.data import DATASETS, Benchmark

COUNTS = (3, 2, 1, 1, 1, 1, 1, 1, 1, 1)
TINY = {
    name: Benchmark(f"tiny_{name}", replace(DATASETS[name], test_images=1), "exponential", 3, counts)
    for name, counts in (("cifar10", COUNTS), ("cifar100", (3, 2, *(1,) * 98)))
}
COLUMN = {"cifar10": "label", "cifar100": "fine_label"}
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pixels(count: int, seed: int = 0, side: int = 32) -> np.ndarray:
    """Random images, (count, side, side, 3) uint8."""
    return np.random.RandomState(seed).randint(0, 256, (count, side, side, 3), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    """Encode an image without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def write_parquet(tmp_path) -> Callable[..., Path]:
    """Write a split in the Hub's layout, a shard for each pair of encoded images and labels; the data folder."""

    def write(
        shards: Sequence[tuple[Sequence[Any], Sequence[Any]]], name: str = "cifar10", split: str = "train"
    ) -> Path:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        for k, (encoded, labels) in enumerate(shards):
            images = [{"bytes": item, "path": f"{k}.png"} for item in encoded]
            table = pa.table({"img": pa.array(images, IMAGE), COLUMN[name]: pa.array(labels)})
            pq.write_table(table, folder / f"{split}-{k:05}-of-{len(shards):05}.parquet")
        return folder.parent

    return write


@pytest.fixture
def write_torchvision(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Write a data set in torchvision's layout and have torchvision expect its check sums; the data folder."""

    def write(name: str, train: tuple[np.ndarray, list[int]], test: tuple[np.ndarray, list[int]]) -> Path:
        kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
        folder = tmp_path / "data" / kind.base_folder
        folder.mkdir(parents=True)

        def dump(file: str, content: dict) -> list[str]:
            (folder / file).write_bytes(pickle.dumps(content))
            return [file, hashlib.md5((folder / file).read_bytes()).hexdigest()]

        lists = {}
        for key, (images, labels), files in (
            ("train_list", train, [file for file, _ in kind.train_list]),
            ("test_list", test, [file for file, _ in kind.test_list]),
        ):
            planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            parts = np.array_split(np.arange(len(images)), len(files))
            column = "labels" if name == "cifar10" else "fine_labels"
            lists[key] = [
                dump(file, {"data": planes[part], column: [labels[i] for i in part]})
                for file, part in zip(files, parts, strict=True)
            ]
        meta = dump(kind.meta["filename"], {kind.meta["key"]: [str(j) for j in range(int(name[5:]))]})
        for key, value in {**lists, "meta": {**kind.meta, "md5": meta[1]}}.items():
            monkeypatch.setattr(kind, key, value)
        return folder.parent

    return write
