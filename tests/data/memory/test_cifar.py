"""Both layouts of CIFAR, read back pixel for pixel, and every way in which a copy can be broken."""

import json
import os
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.datasets import CIFAR10

from ltzoo.data import get_benchmark, select_subset
from ltzoo.data.memory import LabelledImages, cifar_source, load_test, load_train
from ltzoo.errors import InputError
from tests.data.conftest import COUNTS, IMAGE, TINY, pixels, png

NAMES = pytest.mark.parametrize("name", ["cifar10", "cifar100"])


def enough(name, surplus=2):
    """Labels with a few images of each class more than the tiny benchmark wants, mixed."""
    labels = np.repeat(np.arange(int(name[5:])), np.array(TINY[name].class_counts) + surplus)
    return np.random.RandomState(1).permutation(labels).tolist()


def assert_subset_of(loaded, subset, images, labels, counts):
    assert torch.equal(loaded.images, torch.from_numpy(images[subset.indices]))
    assert loaded.labels.tolist() == [labels[i] for i in subset.indices]
    assert torch.bincount(loaded.labels).tolist() == list(counts)
    assert loaded.labels.dtype == torch.int64


def whole_test_set(name, folder):
    source = cifar_source(name, "test", folder, download=False)
    return LabelledImages(source.decode(np.arange(len(source.labels))), torch.from_numpy(source.labels.copy()))


@NAMES
def test_parquet_shards_are_read_pixel_for_pixel_and_in_their_order(name, write_parquet):
    labels = enough(name)
    images = pixels(len(labels))
    encoded = [png(image) for image in images]
    cuts = [0, 7, 8, len(labels)]
    parts = [slice(*cut) for cut in pairwise(cuts)]
    write_parquet([(encoded[part], labels[part]) for part in parts], name)
    folder = write_parquet([(encoded[part], labels[part]) for part in parts], name, "test")
    loaded, subset = load_train(TINY[name], "cao", folder)
    assert_subset_of(loaded, subset, images, labels, TINY[name].class_counts)
    test = whole_test_set(name, folder)
    assert torch.equal(test.images, torch.from_numpy(images))
    assert test.labels.tolist() == labels


@NAMES
def test_torchvisions_folder_is_read_pixel_for_pixel(name, write_torchvision):
    train_labels, test_labels = enough(name), enough(name, 0)
    train_images, test_images = pixels(len(train_labels)), pixels(len(test_labels), seed=1)
    folder = write_torchvision(name, (train_images, train_labels), (test_images, test_labels))
    loaded, subset = load_train(TINY[name], "cao", folder)
    assert_subset_of(loaded, subset, train_images, train_labels, TINY[name].class_counts)
    test = whole_test_set(name, folder)
    assert torch.equal(test.images, torch.from_numpy(test_images))
    assert test.labels.tolist() == test_labels


def test_both_layouts_give_the_same_subset_of_images_in_the_same_order(write_parquet, write_torchvision):
    labels = enough("cifar10")
    images = pixels(len(labels))
    folder = write_parquet([([png(image) for image in images], labels)])
    from_parquet = load_train(TINY["cifar10"], "cao", folder)
    write_torchvision("cifar10", (images, labels), (images, labels))
    from_torchvision = load_train(TINY["cifar10"], "cao", folder)
    assert from_parquet[1].sha256 == from_torchvision[1].sha256
    assert (from_parquet[1].layout, from_torchvision[1].layout) == ("parquet", "torchvision")
    assert torch.equal(from_parquet[0].images, from_torchvision[0].images)


def refused(call, match):
    with pytest.raises(InputError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_missing_data_are_refused_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "download", lambda self: pytest.fail("it was asked for nothing"))
    bench = TINY["cifar10"]
    refused(lambda: load_train(bench, "cao", tmp_path / "none"), "data folder .*none does not exist; .*--download")
    refused(lambda: load_test(bench, tmp_path), "no cifar10 in .*: neither cifar-10-batches-py/ nor cifar10/test-")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_is_one_line(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    refused(lambda: load_train(TINY["cifar10"], "cao", tmp_path, download=True), "no network")


def test_the_other_split_alone_is_not_enough(write_parquet):
    folder = write_parquet([([png(pixels(1)[0])], [0])], split="test")
    refused(lambda: load_train(TINY["cifar10"], "cao", folder), "no cifar10 in .*/train-")


def test_a_damaged_torchvision_folder_is_refused(write_torchvision):
    labels = enough("cifar10")
    folder = write_torchvision("cifar10", (pixels(len(labels)), labels), (pixels(10), list(range(10))))
    file = folder / "cifar-10-batches-py" / "data_batch_3"
    file.write_bytes(file.read_bytes()[:-20])
    refused(lambda: load_train(TINY["cifar10"], "cao", folder), "cifar-10-batches-py cannot be read .*; remove it")


@pytest.mark.parametrize("cut", [0, 2, -40])
def test_a_truncated_parquet_file_is_refused(cut, write_parquet):
    images = [png(image) for image in pixels(10)]
    folder = write_parquet([(images[:5], list(range(5))), (images[5:], list(range(5, 10)))], split="test")
    file = folder / "cifar10" / "test-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:cut])
    refused(lambda: load_test(TINY["cifar10"], folder), r"the parquet files .*cannot be read \(.+\); fetch them again")


def with_columns(tmp_path, **columns):
    (tmp_path / "cifar10").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "cifar10" / "test-00000-of-00001.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"image": [b""], "label": [0]}, "img"),
        ({"img": [b""], "fine_label": [0]}, "label"),
        ({"x": [1]}, "img, label"),
    ],
)
def test_other_columns_are_refused(columns, missing, tmp_path):
    folder = with_columns(tmp_path, **columns)
    refused(lambda: load_test(TINY["cifar10"], folder), f"has no column {missing}; the Hub's files of cifar10 have")


@pytest.mark.parametrize(
    "image", [b"raw", "text", None, {"path": "a.png"}, {"bytes": "text"}, {"bytes": 3}], ids=lambda image: repr(image)
)
def test_images_of_another_type_are_refused(image, tmp_path):
    folder = with_columns(tmp_path, img=[image] * 10, label=list(range(10)))
    refused(lambda: load_test(TINY["cifar10"], folder), "parquet files .* cannot be read")


@pytest.mark.parametrize("labels", [[*"012345678", "ten"], [[j] for j in range(10)]])
def test_labels_of_another_type_are_refused(labels, tmp_path):
    folder = with_columns(tmp_path, img=pa.array([None] * 10, IMAGE), label=labels)
    refused(lambda: load_test(TINY["cifar10"], folder), "parquet files .* cannot be read")


def broken_png(position, value):
    data = bytearray(png(pixels(1)[0]))
    data[position] = value
    return bytes(data)


@pytest.mark.parametrize(
    "encoded",
    [b"no image", b"", None, png(pixels(1)[0])[:200], broken_png(60, 255)],
    ids=["other bytes", "no bytes", "null", "truncated", "broken data"],
)
def test_an_image_that_cannot_be_decoded_is_refused_and_named(encoded, write_parquet):
    images = [png(image) for image in pixels(10)]
    images[4] = encoded
    folder = write_parquet([(images, list(range(10)))], split="test")
    refused(lambda: load_test(TINY["cifar10"], folder), "image 4 of .*cifar10/test-.* cannot be decoded")


@pytest.mark.parametrize("error", [SyntaxError("broken PNG file"), ValueError("too large"), OSError("truncated")])
def test_whatever_pillow_raises_is_one_line(error, write_parquet, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    folder = write_parquet([([png(image) for image in pixels(10)], list(range(10)))], split="test")
    monkeypatch.setattr("PIL.Image.Image.convert", fail)
    refused(lambda: load_test(TINY["cifar10"], folder), "image 0 of .* cannot be decoded")


def test_images_of_another_size_are_refused(write_parquet):
    images = [png(image) for image in pixels(10)]
    images[9] = png(pixels(1, side=64)[0][:48])
    folder = write_parquet([(images, list(range(10)))], split="test")
    refused(lambda: load_test(TINY["cifar10"], folder), "image 9 of .* is 64 x 48 pixels, not 32 x 32")


@pytest.mark.parametrize("wrong", [10, -1, None])
def test_labels_outside_the_classes_are_refused(wrong, write_parquet, recwarn):
    labels = [*range(9), wrong]
    folder = write_parquet([([png(image) for image in pixels(10)], labels)], split="test")
    refused(lambda: load_test(TINY["cifar10"], folder), "holds labels .*, not 10 classes; fetch cifar10 again")


def test_files_without_images_are_refused(tmp_path):
    folder = with_columns(tmp_path, img=pa.array([], IMAGE), label=pa.array([], pa.int64()))
    refused(lambda: load_test(TINY["cifar10"], folder), "holds no image, not 10 classes")


def test_too_few_images_of_a_class_are_refused(write_parquet):
    labels = [j for j, count in enumerate(COUNTS) for _ in range(count)]
    labels.remove(1)
    folder = write_parquet([([png(image) for image in pixels(len(labels))], labels)])
    refused(lambda: load_train(TINY["cifar10"], "cao", folder), "too few training images: class 1 has 1 of 2;")


def test_a_test_set_that_is_not_whole_is_refused(write_parquet):
    labels = [0, 1, 2, 3, 4, 5, 6, 8, 8]
    folder = write_parquet([([png(image) for image in pixels(9)], labels)], split="test")
    found = "incomplete: class 7 has 0, class 8 has 2, class 9 has 0 of 1 images; download it again"
    refused(lambda: load_test(TINY["cifar10"], folder), found)


@NAMES
def test_the_real_images_have_the_benchmarks_counts(name):
    folder = os.environ.get("LTZOO_DATA")
    if not folder:
        pytest.skip("LTZOO_DATA names no folder with CIFAR")
    benchmark = get_benchmark(f"{name}lt")
    train = cifar_source(name, "train", Path(folder), download=False)
    subset = select_subset(train.labels, benchmark.class_counts, "cao", "parquet")
    assert tuple(np.bincount(train.labels[subset.indices])) == benchmark.class_counts
    images = train.decode(subset.indices[::25])
    assert images.dtype == torch.uint8
    assert images.shape[1:] == (32, 32, 3)
    mean = images.float().mean(dim=(0, 1, 2)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.5, 0.49, 0.46]), rtol=0, atol=0.05)
    test = cifar_source(name, "test", Path(folder), download=False)
    classes = len(benchmark.class_counts)
    assert np.bincount(test.labels).tolist() == [10_000 // classes] * classes
    # The data set on the Hub carries its class names; a copy written by something else may not.
    metadata = pq.read_schema(next((Path(folder) / name).glob("test-*.parquet"))).metadata or {}
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names = features.get("label" if name == "cifar10" else "fine_label", {}).get("names")
    assert names in (None, list(benchmark.data_set.class_names))
