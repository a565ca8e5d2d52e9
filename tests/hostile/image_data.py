"""The readers of images and of what lists them, each with a valid example."""

import io
import json
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.data.files import DataLocation, ResizedImages, find_unlabelled, open_files
from ltzoo.data.files.archives import read_shards, read_tar
from ltzoo.data.files.folders import read_folder
from ltzoo.data.files.image_files import ImageFiles
from ltzoo.data.files.lists import read_list, read_table
from ltzoo.data.files.standard_lists import read_inat_json
from ltzoo.data.memory import cifar_source
from ltzoo.errors import InputError
from tests.hostile.binaries import pickles, tars
from tests.hostile.outcome import Reader
from tests.hostile.pictures import images, parquets, stored_arrays
from tests.hostile.texts import csv_texts, json_texts


def encoded(index: int, kind: str = "PNG", size: tuple[int, int] = (12, 9)) -> bytes:
    """A small picture."""
    pixels = np.random.default_rng(index).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def opened(files: ImageFiles) -> Any:
    """Open the images that can be opened; return names, classes and sizes."""
    sizes = []
    for index in range(min(len(files), 8)):
        try:
            sizes.append(files.image(index).size)
        except InputError as error:
            assert "\n" not in str(error)
            sizes.append((0, 0))
    return [files.name(index) for index in range(min(len(files), 8))], files.class_names, files.class_counts, sizes


def _pictures(folder: Path) -> None:
    (folder.parent / "outside.png").write_bytes(encoded(99))
    for name in ("a", "b"):
        (folder / name).mkdir()
        for k in range(2):
            (folder / name / f"{k}.png").write_bytes(encoded(k))


def _list(folder: Path) -> None:
    _pictures(folder)
    (folder / "train.txt").write_text("a/0.png a\na/1.png a\nb/0.png b\nb/1.png b\n")


def _table(folder: Path) -> None:
    _pictures(folder)
    rows = ["image,label,split", "a/0.png,a,train", "a/1.png,a,val", "b/0.png,b,train", "b/1.png,b,val"]
    (folder / "all.csv").write_text("\n".join(rows) + "\n")


def _paths(file: str, text: str) -> Any:
    def build(folder: Path) -> None:
        _pictures(folder)
        (folder / file).write_text(text)

    return build


def _read_all(folder: Path) -> Any:
    read_table(folder / "all.csv", "image", "label")
    location = DataLocation(folder / "all.csv")
    train = open_files(NATURAL_BENCHMARKS["imagefolder"], "train", location)
    assert train is not None
    test = open_files(NATURAL_BENCHMARKS["imagefolder"], "test", location, train.class_names)
    return opened(train), None if test is None else opened(test)


def _annotations(folder: Path) -> None:
    _pictures(folder)
    names = ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    document = {
        "images": [{"id": k + 7, "file_name": name, "width": 12} for k, name in enumerate(names)],
        "annotations": [{"id": k, "image_id": k + 7, "category_id": k // 2} for k in range(4)],
        "categories": [{"id": 0, "name": "Aves"}, {"id": 1, "name": "Boa"}],
        "licenses": [{"id": 1}],
    }
    (folder / "train2018.json").write_text(json.dumps(document))


def _tar(members: dict[str, bytes], path: Path) -> None:
    with tarfile.open(path, "w") as made:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))


def _class_tar(folder: Path) -> None:
    (folder.parent / "outside.png").write_bytes(encoded(99))
    _tar({f"{name}/{k}.png": encoded(k) for name in "ab" for k in range(2)}, folder / "train.tar")


def _shard(folder: Path) -> None:
    (folder.parent / "outside.png").write_bytes(encoded(99))
    members = {
        f"a/{k}.{kind}": encoded(k) if kind == "png" else b"%d" % (k % 2) for k in range(4) for kind in ("png", "cls")
    }
    _tar(members, folder / "train-0.tar")


def _one_image(kind: str) -> Any:
    def build(folder: Path) -> None:
        _pictures(folder)
        (folder / "a" / "0.png").write_bytes(encoded(0, kind))

    return build


def _one(folder: Path) -> Any:
    """Read the image that was replaced; its refusal is the outcome."""
    files = read_folder(folder)
    return files.image([files.name(k) for k in range(len(files))].index("a/0.png")).size


def _cached(folder: Path) -> None:
    (folder / "images").mkdir()
    _pictures(folder / "images")
    images = ResizedImages(read_folder(folder / "images"), 6, folder / "cache")
    images.image(0)
    (kept,) = (folder / "cache").rglob("*.npy")
    kept.rename(folder / "kept.npy")
    (folder / "where").write_text(str(kept.relative_to(folder)))


def _put_back(folder: Path) -> None:
    (folder / (folder / "where").read_text()).write_bytes((folder / "kept.npy").read_bytes())


def _resized(folder: Path) -> Any:
    image = ResizedImages(read_folder(folder / "images"), 6, folder / "cache").image(0)
    assert image.mode == "RGB"
    return image.size


def _cifar(folder: Path) -> None:
    (folder.parent / "outside.png").write_bytes(encoded(99, size=(32, 32)))
    (folder / "cifar10").mkdir()
    rows = [{"bytes": encoded(k, size=(32, 32)), "path": None} for k in range(6)]
    table = pa.table({"img": rows, "label": [0, 1, 2, 3, 4, 5]})
    pq.write_table(table, folder / "cifar10" / "train-00000-of-00001.parquet")


def _decoded(folder: Path) -> Any:
    source = cifar_source("cifar10", "train", folder, download=False)
    return (
        tuple(source.decode(np.arange(min(6, len(source.labels)))).shape),
        source.labels.tolist()[:100],
        source.layout,
    )


def _pickled(folder: Path) -> None:
    (folder / "cifar-10-batches-py").mkdir()
    for k in range(1, 6):
        batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}
        (folder / "cifar-10-batches-py" / f"data_batch_{k}").write_bytes(pickle.dumps(batch))


def _hub(folder: Path) -> None:
    (folder.parent / "outside.png").write_bytes(encoded(99))
    (folder / "copy").mkdir()
    rows = [{"bytes": encoded(k), "path": f"{k}.png"} for k in range(4)]
    pq.write_table(pa.table({"image": rows, "label": ["a", "a", "b", "b"]}), folder / "copy" / "train.parquet")


def _read_hub(folder: Path) -> Any:
    location = DataLocation(Path("hfds") / str(folder / "copy").lstrip(os.sep))
    with patch.object(datasets.config, "HF_DATASETS_CACHE", folder / "cache"):
        files = open_files(NATURAL_BENCHMARKS["imagefolder"], "train", location)
        assert files is not None
        return opened(files)


READERS = (
    Reader(
        "list", _list, "train.txt", lambda f: opened(read_list(f / "train.txt").labelled(f)), csv_texts, leaves=True
    ),
    Reader("table", _table, "all.csv", _read_all, csv_texts, leaves=True),
    Reader(
        "list without labels",
        _paths("images.txt", "a/0.png\na/1.png\nb/0.png\n"),
        "images.txt",
        lambda f: opened(find_unlabelled([f / "images.txt"])),
        csv_texts,
        leaves=True,
    ),
    Reader(
        "table without labels",
        _paths("images.csv", "image,size\na/0.png,4\nb/1.png,4\n"),
        "images.csv",
        lambda f: opened(find_unlabelled([f / "images.csv"])),
        csv_texts,
        leaves=True,
    ),
    Reader(
        "iNaturalist's JSON",
        _annotations,
        "train2018.json",
        lambda f: opened(read_inat_json(f / "train2018.json", 2, f)),
        json_texts,
    ),
    Reader("tar file", _class_tar, "train.tar", lambda f: opened(read_tar(f / "train.tar")), tars),
    Reader("WebDataset shard", _shard, "train-0.tar", lambda f: opened(read_shards([f / "train-0.tar"])), tars),
    *(
        Reader(f"image ({kind})", _one_image(kind), "a/0.png", _one, images)
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000")
    ),
    Reader("cache of resized images", _cached, "kept.npy", _resized, stored_arrays, finish=_put_back),
    Reader("CIFAR parquet", _cifar, "cifar10/train-00000-of-00001.parquet", _decoded, parquets),
    Reader("CIFAR pickle", _pickled, "cifar-10-batches-py/data_batch_1", _decoded, pickles),
    Reader("Hub data set", _hub, "copy/train.parquet", _read_hub, parquets, dear=True),
)
