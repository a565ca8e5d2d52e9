"""The plot of the class counts."""

import warnings

import numpy as np
import pytest
from PIL import Image

from ltzoo.data import Groups
from ltzoo.evaluate import draw_class_counts

HEAD, MID, TAIL = "#0072b2", "#009e73", "#d55e00"
GROUPS = Groups("count", {"head": (2, 0), "mid": (1,), "tail": (3, 4)})
COUNTS = (200, 50, 500, 10, 1)


def draw(path, *arguments):
    """Draw without a warning of ours; the pixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"ltzoo\.")
        draw_class_counts(path, *arguments)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def covered(picture, colour):
    """How many pixels have the colour's shade at 18 % on white."""
    full = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    return int((np.abs(picture - np.rint(255 + 0.18 * (full - 255))).max(axis=2) <= 1).sum())


@pytest.mark.parametrize(
    ("groups", "colours"),
    [
        (GROUPS, [HEAD, MID, TAIL]),
        (Groups("count", {"head": (0, 1, 2), "mid": (), "tail": (3, 4)}), [HEAD, TAIL]),
        (Groups("half", {"head": (2, 0, 1), "tail": (3, 4)}), [HEAD, TAIL]),
    ],
)
def test_groups_are_shaded(groups, colours, tmp_path):
    picture = draw(tmp_path / "counts.png", "a $folder", COUNTS, (9, 9, 9, 9, 0), groups)
    assert picture.shape[:2] == (504, 960)
    assert [colour for colour in (HEAD, MID, TAIL) if covered(picture, colour) > 200] == colours


def test_the_counts_are_drawn_on_a_logarithmic_scale(tmp_path):
    """Of five steps down by the same factor each is as high as the next."""
    groups = Groups("thirds", {"head": (0, 1, 2, 3, 4), "mid": (), "tail": ()})
    picture = draw(tmp_path / "counts.png", "", (81, 27, 9, 3, 1), None, groups)
    grey = np.abs(picture.astype(int) - 0xA8).max(axis=2) <= 1
    columns = np.flatnonzero(grey.sum(axis=0) > 20)
    heights = grey.sum(axis=0)[np.linspace(columns[0], columns[-1], 11).astype(int)[1::2]]
    assert np.ptp(np.diff(heights)) <= 3
    assert heights[0] > heights[1]
    assert heights[-1] > 5  # a class of one image is seen


def test_the_test_counts_are_a_line(tmp_path):
    with_line = draw(tmp_path / "a.png", "", COUNTS, (7,) * 5, GROUPS)
    higher = draw(tmp_path / "b.png", "", COUNTS, (20,) * 5, GROUPS)

    def rows(picture):
        return np.flatnonzero((picture[:, 100:940].max(axis=2) < 60).mean(axis=1) > 0.9)

    frame = set(rows(draw(tmp_path / "c.png", "", COUNTS, None, GROUPS)).tolist())
    assert min(set(rows(higher).tolist()) - frame) < min(set(rows(with_line).tolist()) - frame)
    assert len(frame) <= 4


@pytest.mark.parametrize("test_counts", [None, (0,), (3,)])
def test_one_class_of_one_image_is_drawn(test_counts, tmp_path):
    draw(tmp_path / "one.png", "one", (1,), test_counts, Groups("count", {"head": (), "mid": (), "tail": (0,)}))


def test_many_classes_are_drawn(tmp_path):
    counts = tuple(np.geomspace(1000, 2, 8142).astype(int).tolist())
    parts = {"head": tuple(range(842)), "mid": tuple(range(842, 4543)), "tail": tuple(range(4543, 8142))}
    picture = draw(tmp_path / "many.png", "iNaturalist", counts, (3,) * 8142, Groups("mislas", parts))
    assert covered(picture, TAIL) > 200
