"""Held-out images: the long tail's unused ones first, the same number of each class, never one that is trained on."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ltzoo.data import Subset, get_benchmark, hold_out, list_benchmarks, read_subset, select_subset
from ltzoo.data.memory import load_held_out, load_train
from ltzoo.errors import InputError
from tests.data.conftest import TINY, pixels, png

LABELS = np.array([1, 0, 0, 1, 0, 1, 0, 0, 1])
"""Class 0 at 1, 2, 4, 6, 7; class 1 at 0, 3, 5, 8."""
SUBSET = Subset("mine", "here", np.array([6, 1, 4, 8]))
"""Class 0 leaves 2 and 7 out, class 1 leaves 0, 3 and 5 out."""


@pytest.mark.parametrize(
    ("per_class", "kept", "held_out"),
    [
        (1, [6, 1, 4, 8], [2, 0]),
        (2, [6, 1, 4, 8], [2, 7, 0, 3]),
        (3, [6, 1, 8], [2, 7, 4, 0, 3, 5]),  # the last of the subset's own three images of class 0
    ],
)
def test_unused_images_go_first_then_the_end_of_the_subsets_own(per_class, kept, held_out):
    rest, indices = hold_out(LABELS, SUBSET, per_class)
    assert rest.indices.tolist() == kept
    assert indices.tolist() == held_out
    assert rest.indices.dtype == indices.dtype == np.int64
    assert SUBSET.indices.tolist() == [6, 1, 4, 8]


def test_the_subsets_own_images_go_in_its_order():
    rest, indices = hold_out(np.zeros(4, dtype=np.int64), Subset("mine", "here", np.array([3, 0, 2, 1])), 2)
    assert (rest.indices.tolist(), indices.tolist()) == ([3, 0], [2, 1])


def test_what_is_kept_says_what_it_is():
    rest, _ = hold_out(LABELS, SUBSET, 3)
    assert (rest.rule, rest.layout) == ("mine, 3 a class held out", "here")
    assert rest.sha256 == Subset("any", "any", np.array([6, 1, 8])).sha256 != SUBSET.sha256


@pytest.mark.parametrize(
    ("subset", "per_class", "found"),
    [
        (
            SUBSET,
            4,
            "class 1 has 4 training images, 1 of them in the subset: holding out 4 would leave no training image; hold",
        ),
        (SUBSET, 9, "class 0 has 5 training images, 3 of them"),
        (Subset("mine", "here", np.array([6, 1])), 2, "class 1 has 4 training images, 0 of them in the subset"),
        (SUBSET, 0, "at least 1 image per class must be held out, not 0"),
    ],
)
def test_no_class_is_left_without_a_training_image(subset, per_class, found):
    with pytest.raises(InputError, match=found) as caught:
        hold_out(LABELS, subset, per_class)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list_benchmarks())
@pytest.mark.parametrize("rule", ["cao", "first"])
def test_the_benchmarks_lose_only_what_the_long_tail_does_not_leave_out(name, rule):
    benchmark = get_benchmark(name)
    classes, stored = len(benchmark.class_counts), benchmark.data_set.n_max
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(classes), stored))
    subset, per_class = select_subset(labels, benchmark.class_counts, rule, "here"), 20
    rest, indices = hold_out(labels, subset, per_class)
    assert np.bincount(labels[indices]).tolist() == [per_class] * classes
    lost = [max(0, per_class - (stored - count)) for count in benchmark.class_counts]
    assert lost[0] == per_class  # the first class is whole, and gives all of them
    assert np.bincount(labels[rest.indices]).tolist() == [
        count - gone for count, gone in zip(benchmark.class_counts, lost, strict=True)
    ]
    assert not np.intersect1d(indices, rest.indices).size


@st.composite
def splits(draw):
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=30)))
    order = np.array(draw(st.permutations(range(len(labels)))))
    return labels, Subset("mine", "here", order[: draw(st.integers(0, len(labels)))]), draw(st.integers(1, 8))


@given(splits())
def test_every_split_is_balanced_disjoint_and_leaves_each_class_an_image_or_is_refused(split):
    labels, subset, per_class = split
    classes = np.unique(labels)
    own = {j: int((labels[subset.indices] == j).sum()) for j in classes}
    possible = all(own[j] and (labels == j).sum() > per_class for j in classes)
    try:
        rest, indices = hold_out(labels, subset, per_class)
    except InputError:
        assert not possible
        return
    assert possible
    assert [int((labels[indices] == j).sum()) for j in classes] == [per_class] * len(classes)
    assert len(np.unique(indices)) == len(indices)
    assert not np.intersect1d(indices, rest.indices).size
    assert set(rest.indices) <= set(subset.indices)
    assert set(labels[rest.indices]) == set(classes)
    for j in classes:
        # An own image is given up only once no unused one is left.
        given_up = own[j] - int((labels[rest.indices] == j).sum())
        assert given_up == max(0, per_class - (int((labels == j).sum()) - own[j]))


def test_images_held_out_are_loaded_without_a_test_set(write_parquet, tmp_path):
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(10), 4))
    images = pixels(len(labels))
    folder = write_parquet([([png(image) for image in images], labels.tolist())])
    train, kept, held_out = load_held_out(TINY["cifar10"], "cao", 2, folder)
    whole = load_train(TINY["cifar10"], "cao", folder)[1]
    expected, indices = hold_out(labels, whole, 2)
    assert kept.sha256 == expected.sha256 != whole.sha256
    for loaded, chosen in ((train, kept.indices), (held_out, indices)):
        assert torch.equal(loaded.images, torch.from_numpy(images[chosen]))
        assert loaded.labels.tolist() == labels[chosen].tolist()
    assert torch.bincount(train.labels).tolist() == [2, *TINY["cifar10"].class_counts[1:]]


def test_images_are_held_out_of_a_subset_file_too(tmp_path):
    _, whole = load_train(get_benchmark("digitslt"), "first", tmp_path)
    path = tmp_path / "subset.json"
    path.write_text(json.dumps(whole.to_dict()))
    _, kept, _ = load_held_out(get_benchmark("digitslt"), read_subset(path), 20, tmp_path)
    assert kept.sha256 == load_held_out(get_benchmark("digitslt"), "first", 20, tmp_path)[1].sha256
    path.write_text(json.dumps(kept.to_dict()))
    with pytest.raises(InputError, match="class counts: class 0 has 118, not 130"):
        load_train(get_benchmark("digitslt"), read_subset(path), tmp_path)
