"""Plots show what they should, whatever is missing, and need no pyplot."""

import importlib.util
import sys
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from ltzoo.data import Groups
from ltzoo.evaluate import (
    Calibration,
    confusion_matrix,
    draw_classes,
    draw_confusion,
    draw_curves,
    draw_reliability,
    plots,
    save_figure,
)
from tests.evaluate.conftest import COUNTS, GROUPINGS


def read(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has_colour(picture, colour):
    """Whether the full colour, or its shade at 18 % on white, covers some pixels."""
    full = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    shade = np.rint(255 + 0.18 * (full - 255))
    return (np.abs(picture - shade).max(axis=2) <= 1).sum() > 200


CELLS = (slice(60, 560), slice(80, 540))
"""Rows and columns of a drawn confusion matrix that lie within its axes."""
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
    if grouping is GROUPINGS[0]:  # the picture shows the accuracies
        draw_classes(tmp_path / "others.png", "a_model", replace(figures, per_class=(10,) * 6), grouping)
        assert not np.array_equal(picture, read(tmp_path / "others.png"))


NAMES = ("ant", "bée", "a $5 bill, or $6", "猫", "e" * 60, "f\x1b")


def test_names_of_classes_stand_below_their_bars(figures, tmp_path, monkeypatch):
    shown = []

    def keep(figure, path):
        figure.draw_without_rendering()
        labels = figure.axes[0].get_xticklabels()
        shown.append([label.get_text() for label in labels])
        save_figure(figure, path)

    monkeypatch.setattr(plots, "save_figure", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing letter would be a warning
        draw_classes(tmp_path / "named.png", "m", figures, GROUPINGS[0], NAMES)
    draw_classes(tmp_path / "plain.png", "m", figures, GROUPINGS[0])
    # From the most training images to the fewest; what the font lacks is the class's index.
    assert shown[0] == ["ant", "bée", "a $5 bill, or $6", "class 3", "eeeeeeeeeeeeeeeee...", "f\\x1b"]
    assert read(tmp_path / "named.png").shape == read(tmp_path / "plain.png").shape
    assert not set(NAMES) & set(shown[1])


def test_names_of_many_classes_have_no_room(figures, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: shown.append(figure.axes[0].get_xticklabels()))
    many = replace(figures, class_counts=(5,) * 41, per_class=(50.0,) * 41)
    draw_classes(tmp_path / "a.png", "m", many, Groups("own", {"head": tuple(range(41))}), ["name"] * 41)
    assert "name" not in [label.get_text() for label in shown[0]]


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


@pytest.mark.parametrize("accuracies", [[10.0, 30.0, 50.0], [None, None], [20.0]], ids=lambda values: str(values))
def test_curves_are_drawn_whatever_was_measured(accuracies, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"ltzoo\.")
        draw_curves(tmp_path / "curves.png", "a_model", history(accuracies))
    assert read(tmp_path / "curves.png").shape[:2] == (432, 960)


def test_curves_show_the_accuracies_that_there_are(tmp_path):
    drawn = []
    for number, accuracies in enumerate([[None, 30.0, None, 40.0], [None, 60.0, None, 90.0]]):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"ltzoo\.")
            draw_curves(tmp_path / f"{number}.png", "a_model", history(accuracies))
        drawn.append(read(tmp_path / f"{number}.png"))
        assert drawn[-1].shape[:2] == (432, 960)
    left = slice(0, 470)
    assert np.array_equal(drawn[0][:, left], drawn[1][:, left])  # the loss is the same
    assert not np.array_equal(*drawn)


def reliability(path, confidence, accuracy, counts=(0, 7)):
    """Rows of the pixels that are blue (accuracy) and orange (confidence), below the legend."""
    calibration = Calibration(counts, (None, confidence), (None, accuracy), abs(confidence - accuracy))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"ltzoo\.")
        draw_reliability(path, "m", calibration)
    picture = read(path)
    assert picture.shape[:2] == (744, 600)
    return [np.nonzero((picture == colour).all(axis=2))[0] for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00))]


def test_reliability_shows_accuracy_as_bars_and_confidence_as_lines(tmp_path):
    areas, lines = [], []
    for accuracy, confidence in ((20, 70), (40, 60), (60, 50)):
        blue, orange = reliability(tmp_path / "a.png", confidence, accuracy)
        areas.append(len(blue))
        lines.append(np.median(orange))
    assert areas[2] - areas[1] == pytest.approx(areas[1] - areas[0], rel=0.1)
    assert lines[2] - lines[1] == pytest.approx(lines[1] - lines[0], abs=2)  # pixels
    assert lines[1] - lines[0] > 20


def test_confusion_is_drawn_by_row_and_in_the_order_of_the_class_counts(predictions, tmp_path):
    matrix = confusion_matrix(predictions)
    order = [3, 5, 0, 1, 4, 2]
    counts = [0] * 6
    for place, j in enumerate(order):
        counts[j] = COUNTS[place]
    permuted = torch.zeros_like(matrix)
    for a in range(6):
        for b in range(6):
            permuted[order[a], order[b]] = matrix[a, b]
    draw_confusion(tmp_path / "a.png", "m", matrix, COUNTS)
    draw_confusion(tmp_path / "tenfold.png", "m", 10 * matrix, COUNTS)
    draw_confusion(tmp_path / "permuted.png", "m", permuted, counts)
    draw_confusion(tmp_path / "transposed.png", "m", matrix.T, COUNTS)
    plain, tenfold, other, transposed = (
        read(tmp_path / f"{name}.png") for name in ("a", "tenfold", "permuted", "transposed")
    )
    assert np.array_equal(plain, tenfold)
    rows, columns = CELLS
    assert np.array_equal(plain[CELLS], other[CELLS])
    assert not np.array_equal(plain[CELLS], transposed[CELLS])
    # The names of the classes differ, those of the rows and those of the columns.
    assert not np.array_equal(plain[rows, : columns.start], other[rows, : columns.start])
    assert not np.array_equal(plain[rows.stop :, columns], other[rows.stop :, columns])


def test_confusion_is_the_share_of_a_labels_images(tmp_path):
    draw_confusion(tmp_path / "a.png", "m", torch.tensor([[5, 5], [0, 10]]), (2, 1))
    draw_confusion(tmp_path / "b.png", "m", torch.tensor([[1, 1], [0, 1]]), (2, 1))
    assert np.array_equal(read(tmp_path / "a.png"), read(tmp_path / "b.png"))


@pytest.mark.parametrize("classes", [2, 100])
def test_confusion_of_any_number_of_classes_is_drawn_even_with_an_empty_row(classes, tmp_path):
    matrix = torch.eye(classes, dtype=torch.int64)
    matrix[0, 0] = 0
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"ltzoo\.")
        draw_confusion(tmp_path / "a.png", "m", matrix, range(classes, 0, -1))
    picture = read(tmp_path / "a.png")
    assert picture.shape[:2] == (648, 720)
    assert (picture[CELLS].min(axis=2) < 255).all()  # white would be no number


def test_names_of_classes_stand_beside_the_confusion_matrix(tmp_path, monkeypatch):
    shown = []

    def keep(figure, path):
        figure.draw_without_rendering()
        axes = figure.axes[0]
        shown.append(
            [[tick.get_text() for tick in ticks] for ticks in (axes.get_xticklabels(), axes.get_yticklabels())]
        )

    monkeypatch.setattr(plots, "save_figure", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing letter would be a warning
        draw_confusion(tmp_path / "a.png", "m", torch.eye(3, dtype=torch.int64), (1, 9, 4), ("ant", "$5 and $6", "猫"))
        many = range(41, 0, -1)
        draw_confusion(tmp_path / "b.png", "m", torch.eye(41, dtype=torch.int64), many, ["name"] * 41)
    assert shown[0] == [["$5 and $6", "class 2", "ant"]] * 2
    assert shown[1][0][:3] == ["0", "3", "6"]


def test_drawing_needs_no_pyplot(figures, tmp_path, monkeypatch):
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it fails
    spec = importlib.util.spec_from_file_location("fresh_plots", plots.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    fresh.draw_classes(tmp_path / "classes.png", "m", figures, GROUPINGS[0])
    fresh.draw_curves(tmp_path / "curves.png", "m", history([5.0]))
    fresh.draw_reliability(tmp_path / "reliability.png", "m", Calibration((1,), (90.0,), (100.0,), 10.0))
    fresh.draw_confusion(tmp_path / "confusion.png", "m", torch.eye(6, dtype=torch.int64), COUNTS)
