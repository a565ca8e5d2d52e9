"""Images held out of files: as many of each class as asked for, drawn alike in every run, never all of a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltzoo.data.files import ImageFiles, hold_out_files
from ltzoo.errors import InputError
from tests.data.files.trees import content_of, opened, plant, refused


def split(labels):
    labels = np.array(labels, dtype=np.int64)
    names = tuple(f"class {j}" for j in range(labels.max() + 1))
    return ImageFiles(None, 100 + np.arange(len(labels)), labels, names, "train")


def test_images_are_drawn_and_each_part_keeps_the_order(tmp_path):
    names = [f"{name}/{k}.png" for name in "ab" for k in range(20)]
    files = opened(plant(tmp_path, *names))
    kept, held = hold_out_files(files, 5)
    assert content_of(kept) == [pair for pair in content_of(files) if pair not in content_of(held)]
    assert content_of(held) == [pair for pair in content_of(files) if pair in content_of(held)]
    assert (kept.class_counts, held.class_counts) == ((15, 15), (5, 5))
    drawn = [[int(name[2:-4]) for name, of in content_of(held) if of == j] for j in "ab"]
    assert drawn == [[1, 8, 10, 18, 19], [1, 2, 11, 17, 18]]  # in every run, on every machine
    assert kept.class_names == held.class_names == files.class_names
    assert content_of(hold_out_files(files, 5)[1]) == content_of(held)


@pytest.mark.parametrize(
    ("amount", "held"),
    [(1, (1, 1, 1)), (0.5, (50, 5, 2)), (0.01, (1, 1, 1)), (0.29, (29, 3, 1)), (0.55, (55, 6, 2))],
)
def test_the_amount_is_a_number_or_a_share_of_each_class(amount, held):
    files = split(np.repeat([0, 1, 2], [100, 10, 4]))
    assert hold_out_files(files, amount)[1].class_counts == held


@pytest.mark.parametrize("amount", [0, -1, 0.0, 1.0, 1.5, -0.2, float("nan"), float("inf")])
def test_an_amount_that_is_neither_is_refused(amount):
    refused(
        r"^held out must be a whole number of images, at least 1, or a share between 0 and 1, not",
        hold_out_files,
        split([0] * 9),
        amount,
    )


def test_a_class_that_would_be_left_without_an_image_is_named():
    files = split(np.repeat(range(8), [9, 1, 1, 2, 1, 1, 1, 1]))
    refused(
        "^to hold 0.1 of each class out of train would leave 6 classes without a training image: "
        "'class 1', 'class 2', 'class 4', 'class 5', 'class 6', ...; add images to each, leave the class "
        "out, or add a test split",
        hold_out_files,
        files,
        0.1,
    )
    refused(
        "leave 7 classes .* 'class 1', 'class 2', 'class 3', .*; hold out fewer, add images", hold_out_files, files, 2
    )


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.one_of(st.integers(1, 5), st.floats(0, 1, exclude_min=True, exclude_max=True)),
)
def test_every_division_is_whole_and_disjoint_or_refused(labels, amount):
    files = split(labels)
    counts = np.array(files.class_counts)
    wanted = np.full(len(counts), amount) if isinstance(amount, int) else np.maximum(1, np.rint(counts * amount))
    try:
        kept, held = hold_out_files(files, amount)
    except InputError:
        assert (wanted >= counts).any()
        return
    assert held.class_counts == tuple(wanted)
    assert min(kept.class_counts) >= 1
    assert sorted([*kept.positions, *held.positions]) == files.positions.tolist()
    for part in (kept, held):
        assert (np.diff(part.positions) > 0).all()
        assert part.labels.tolist() == files.labels[part.positions - 100].tolist()
