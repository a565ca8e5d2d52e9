"""Pictures are written, whole, whatever is missing, and without pyplot."""

import importlib.util
import sys
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from PIL import Image

from ltzoo.evaluate import draw_classes, draw_curves, pictures
from tests.evaluate.conftest import GROUPINGS


def read(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has_colour(picture, colour):
    """Whether the full colour, or its shade at 18 % on white, covers some pixels."""
    full = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    shade = np.rint(255 + 0.18 * (full - 255))
    return (np.abs(picture - shade).max(axis=2) <= 1).sum() > 200


HEAD, MID, TAIL = "#0072b2", "#009e73", "#d55e00"


@pytest.mark.parametrize(
    ("grouping", "colours"),
    [(GROUPINGS[0], [HEAD, MID, TAIL]), (GROUPINGS[1], [HEAD, TAIL]), (GROUPINGS[2], [HEAD, TAIL])],
)
def test_classes_are_drawn_with_their_groups_shaded(grouping, colours, figures, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"ltzoo\.")
        draw_classes(tmp_path / "classes.png", "a_model", figures, grouping)
    picture = read(tmp_path / "classes.png")
    assert picture.shape[:2] == (504, 960)
    assert [colour for colour in (HEAD, MID, TAIL) if has_colour(picture, colour)] == colours


def test_the_picture_shows_the_accuracies(figures, tmp_path):
    draw_classes(tmp_path / "a.png", "m", figures, GROUPINGS[0])
    draw_classes(tmp_path / "b.png", "m", replace(figures, per_class=(10,) * 6), GROUPINGS[0])
    assert not np.array_equal(read(tmp_path / "a.png"), read(tmp_path / "b.png"))


def history(accuracies):
    return [
        {
            "epoch": float(epoch),
            "train_loss": 2.0 / (epoch + 1),
            "overall": value,
            "head": value,
            "mid": None,
            "tail": value,
        }
        for epoch, value in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    "accuracies", [[10.0, 30.0, 50.0], [None, 30.0, None, 40.0], [None, None], [20.0]], ids=lambda values: str(values)
)
def test_curves_are_drawn_whatever_was_measured(accuracies, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"ltzoo\.")
        draw_curves(tmp_path / "curves.png", "a_model", history(accuracies))
    assert read(tmp_path / "curves.png").shape[:2] == (432, 960)


def test_curves_show_the_accuracies_that_there_are(tmp_path):
    drawn = []
    for number, accuracies in enumerate([[None, 30.0, None, 40.0], [None, 60.0, None, 90.0]]):
        draw_curves(tmp_path / f"{number}.png", "a_model", history(accuracies))
        drawn.append(read(tmp_path / f"{number}.png"))
    left = slice(0, 470)
    assert np.array_equal(drawn[0][:, left], drawn[1][:, left])  # the loss is the same
    assert not np.array_equal(*drawn)


def test_drawing_needs_no_pyplot(figures, tmp_path, monkeypatch):
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it fails
    spec = importlib.util.spec_from_file_location("fresh_pictures", pictures.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    fresh.draw_classes(tmp_path / "classes.png", "m", figures, GROUPINGS[0])
    fresh.draw_curves(tmp_path / "curves.png", "m", history([5.0]))
