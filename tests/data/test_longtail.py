"""Class counts and the choice of images, against Cao's procedure with numpy's global generator."""

import hashlib
import struct

import numpy as np
import pytest

from ltzoo.data import Subset, exponential_counts, get_benchmark, select_subset
from ltzoo.errors import InputError


@pytest.mark.parametrize(
    ("name", "total", "first", "last"), [("cifar10lt", 12_406, 5000, 50), ("cifar100lt", 10_847, 500, 5)]
)
def test_long_tailed_cifar_has_the_papers_number_of_images(name, total, first, last):
    counts = get_benchmark(name).class_counts
    assert (sum(counts), counts[0], counts[-1]) == (total, first, last)
    assert list(counts) == sorted(counts, reverse=True)


def test_counts_are_cut_off_and_not_rounded():
    assert exponential_counts(10, 5000, 100) == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    assert exponential_counts(3, 10, 2) == (10, 7, 5)  # 10 / sqrt(2) = 7.07
    assert exponential_counts(3, 10, 1) == (10, 10, 10)


@pytest.mark.parametrize("seed", [0, 1])
def test_caos_rule_chooses_the_images_that_his_code_does(seed):
    labels = np.random.RandomState(seed).randint(0, 7, 2000)
    counts = exponential_counts(7, 200, 40)
    np.random.seed(0)  # noqa: NPY002
    expected = []
    for j, count in enumerate(counts):
        indices = np.where(labels == j)[0]
        np.random.shuffle(indices)  # noqa: NPY002
        expected.append(indices[:count])
    np.random.seed(5)  # noqa: NPY002
    assert np.array_equal(select_subset(labels, counts, "cao", "here").indices, np.concatenate(expected))


def test_choosing_leaves_numpys_global_generator_alone():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    select_subset(np.arange(10) % 2, (3, 2), "cao", "here")
    assert np.random.rand() == expected  # noqa: NPY002


def test_a_small_subset_is_pinned():
    subset = select_subset(np.arange(20) % 2, (4, 2), "cao", "here")
    assert subset.indices.tolist() == [4, 16, 8, 18, 7, 11]
    assert subset.indices.dtype == np.int64
    assert subset.sha256 == hashlib.sha256(struct.pack("<6q", 4, 16, 8, 18, 7, 11)).hexdigest()
    assert subset.sha256 == "b7df5e63537223ad63e4a7b1b12cf409aa50213073d19d1dfbc4fe9fd281126f"


@pytest.mark.parametrize("dtype", ["<i8", ">i8", "<i4"])
def test_the_hash_does_not_depend_on_how_the_indices_are_stored(dtype):
    expected = hashlib.sha256(struct.pack("<3q", 3, 0, 258)).hexdigest()
    assert Subset("cao", "here", np.array([3, 0, 258], dtype=dtype)).sha256 == expected


def test_too_few_images_are_refused_and_the_classes_named():
    with pytest.raises(InputError, match=r"class 1 has 2 of 3, class 2 has 0 of 1;") as caught:
        select_subset(np.array([0, 0, 0, 0, 1, 1]), (4, 3, 1), "cao", "here")
    assert "class 0" not in str(caught.value)
    with pytest.raises(InputError, match=r"class 4 has 0 of 1, \.\.\.;"):
        select_subset(np.array([], dtype=np.int64), (1,) * 8, "cao", "here")


def test_an_unknown_benchmark_names_the_nearest():
    with pytest.raises(InputError, match="no benchmark is called 'cifar1000lt'; the nearest are cifar100lt"):
        get_benchmark("cifar1000lt")
