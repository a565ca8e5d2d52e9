"""The choice of images, against Cao's procedure with numpy's global generator; subset files."""

import hashlib
import json
import struct

import numpy as np
import pytest

from ltzoo.data import Subset, exponential_counts, get_benchmark, read_subset, select_subset
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError


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


@pytest.mark.parametrize("counts", [(3, 2, 1), (1, 1, 1)])
def test_first_keeps_the_first_of_each_class(counts):
    labels = np.array([2, 0, 1, 0, 1, 0, 2, 0, 1])
    expected = [k for j, n in enumerate(counts) for k in [i for i in range(9) if labels[i] == j][:n]]
    assert select_subset(labels, counts, "first", "here").indices.tolist() == expected


@pytest.mark.parametrize(("rule", "found"), [("last", "no subset rule is called 'last'"), ("imported", "--subset")])
def test_other_rules_are_refused(rule, found):
    with pytest.raises(InputError, match=found):
        select_subset(np.arange(4) % 2, (1, 1), rule, "here")


@pytest.fixture
def digits_file(tmp_path):
    """Exports the digits' subset, changed at will."""

    def write(**changes):
        _, subset = load_train(get_benchmark("digitslt"), "cao", tmp_path)
        document = subset.to_dict()
        indices = changes.pop("indices", lambda indices: indices)(document["indices"])
        rehashed = Subset("cao", "scikit-learn", np.array(indices)).to_dict()
        (tmp_path / "subset.json").write_text(json.dumps(rehashed | changes))
        return tmp_path / "subset.json"

    return write


def test_an_exported_subset_is_imported_whole(digits_file, tmp_path):
    images, subset = load_train(get_benchmark("digitslt"), "cao", tmp_path)
    again, imported = load_train(get_benchmark("digitslt"), read_subset(digits_file()), tmp_path)
    assert imported.sha256 == subset.sha256
    assert np.array_equal(images.images, again.images)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"sha256": "0" * 64}, "is damaged: its indices do not match its hash"),
        ({"indices": lambda indices: [0.5, *indices]}, "is damaged: its indices must be a list of whole numbers"),
        ({"layout": "torchvision"}, "the order 'torchvision', but the data are stored in the order 'scikit-learn'"),
        ({"indices": lambda indices: [*indices[:-1], 9999]}, "names image 9999 of 1397"),
        ({"indices": lambda indices: [*indices[:-1], -3]}, "names image -3 of 1397"),
        ({"indices": lambda indices: [*indices[:-1], indices[0]]}, "names an image twice"),
        ({"indices": lambda indices: indices[:-1]}, "class counts: class 9 has 5, not 6"),
        ({"indices": lambda indices: indices[6:]}, "class counts: class 0 has 124, not 130"),
    ],
)
def test_files_that_do_not_fit_are_refused(changes, found, digits_file, tmp_path):
    with pytest.raises(InputError, match=found):
        load_train(get_benchmark("digitslt"), read_subset(digits_file(**changes)), tmp_path)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"rule": "cao"}'])
def test_what_is_no_subset_file_is_refused(text, tmp_path):
    path = tmp_path / "subset.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match="is missing or not a subset file; write one with ltzoo subset"):
        read_subset(path)
