"""Pictures of an analysis: which there are, and what is drawn."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from ltzoo.evaluate import COLOURS
from ltzoo.landscape.plots import plots_of
from tests.landscape.spectra import (
    EACH,
    FAMILY,
    GROUPS,
    RADII,
    WIDE,
    compose,
    document,
    legend,
    plane,
    points,
    row,
    squares,
)

pytestmark = [pytest.mark.filterwarnings(f"error::{kind}") for kind in ("UserWarning", "RuntimeWarning")]


def full_rows():
    """Rows for every picture."""
    loss = [[0.9, 0.05, 0.9], [1.0, 0.1, 1.0], [0.9, 0.06, 0.9]]
    rows = [
        row(word, one, epoch=epoch, escape=squares(sgd=0.1, sam=0.2))
        for word in RADII
        for one in [*WIDE[:2], *EACH[:3]]
        for epoch in (10, 40)
    ]
    return [*rows, row("imbsam", "tail", slice=plane(loss))]


def test_every_picture_is_painted(tmp_path):
    found = plots_of(document(full_rows()))
    assert list(found) == [
        "classes.png",
        "density.png",
        "epochs.png",
        "escape.png",
        "optimizers.png",
        "radius.png",
        f"slice_{FAMILY}_imbsam.seed0_tail.png",
    ]
    for name, drawing in found.items():
        path = tmp_path / name
        drawing(path)
        with Image.open(path) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == list(found)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([row()], ["density.png"]),
        ([row(density=None)], []),
        ([row(one=one) for one in ("0", "4")], ["density.png"]),
        ([row(one=one) for one in ("0", "4", "5")], ["classes.png", "density.png"]),
        ([row(one=one) for one in (*WIDE, "0", "1")], ["density.png"]),
        ([row(epoch=10), row(epoch=40)], ["density.png", "epochs.png"]),
        ([row(epoch=10), row("sam", epoch=40, family="resnet20_digitslt_vs")], ["density.png"]),
        ([row("sgd"), row("sam")], ["density.png", "optimizers.png"]),
        ([row("sgd"), row("sam", "tail")], ["density.png"]),  # nothing that the two share
        ([row("sgd"), row("sgd", seed=1)], ["density.png"]),
        ([row(word) for word in RADII], ["density.png", "optimizers.png", "radius.png"]),
        ([row(word) for word in ("sgd", "sam", "imbsam")], ["density.png", "optimizers.png"]),
        ([row(escape=squares(sgd=1.0))], ["density.png"]),
        ([row(escape=squares(sam=1.0, imbsam=2.0))], ["density.png"]),
        ([row(escape=squares(sgd=1.0, sam=2.0))], ["density.png", "escape.png"]),
    ],
)
def test_only_pictures_whose_data_are_there(rows, expected):
    assert list(plots_of(document(rows))) == expected


def test_slices_of_earlier_epochs_say_so():
    rows = [row(one="8", epoch=epoch, slice=plane([[1.0] * 3] * 3)) for epoch in (10, 40)]
    model = f"{FAMILY}_sgd.seed0"
    assert [name for name in plots_of(document(rows)) if "slice" in name] == [
        f"slice_{model}_8.png",
        f"slice_{model}_8_epoch10.png",
    ]


def test_a_panel_a_set_and_a_line_a_model_with_its_extremes():
    rows = [row("sam", low=-0.1, high=5.0, converged=False), row(epoch=10, low=-9.0), row(), row(one="4")]
    figure = compose("density.png", rows)
    both, single = figure.axes
    assert both.get_title() == "all, width 0.1"  # 1 % of -0.5 to 10: the latest epoch
    assert single.get_title() == "class 4 (6), width 0.1"
    sgd, *ends, sam, low, high = both.lines
    assert [end.get_xdata()[0] for end in (*ends, low, high)] == [-0.5, 10.0, -0.1, 5.0]
    assert [end.get_markerfacecolor() for end in (*ends, low, high)] == ["black", "black", "white", "white"]
    # The mean of two probes, each of mass 1.
    x, y = np.array(sgd.get_xdata()), np.array(sgd.get_ydata())
    assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)
    assert y[np.abs(x - 10).argmin()] == pytest.approx(0.009 / 2 / (0.105 * math.sqrt(2 * math.pi)), rel=0.01)
    assert sam.get_color() == "#0072b2"
    assert legend(figure) == ["sgd.seed0", "sam.seed0", "lambda_min", "lambda_max"]
    assert figure.legends[0].get_title().get_text() == f"{FAMILY}_..."
    heading = figure.get_suptitle().replace("\n", " ")
    assert heading.startswith("digitslt, cross-entropy: ")
    assert heading.endswith("epoch 40 of 40; hollow: not converged")


def test_of_many_sets_some_have_a_panel():
    counts = list(range(30, 0, -1))
    figure = compose("density.png", [row(one=str(j)) for j in range(30)], class_counts=counts)
    assert len(figure.axes) == 12
    titles = [axes.get_title() for axes in figure.axes]
    assert (titles[0], titles[-1]) == ("class 0 (30), width 0.1", "class 29 (1), width 0.1")
    assert "12 of 30 sets" in figure.get_suptitle().replace("\n", " ")


def test_classes_lie_by_their_counts_and_groups_are_shaded():
    rows = [row(one=one, low=-0.1 * (int(one) + 1), converged=one != "5") for one in EACH]
    figure = compose(
        "classes.png", [*rows, row("sam", "5", low=-4.0), row(one="tail"), row(one="5", epoch=9, low=-9.0)]
    )
    (axes,) = figure.axes
    sgd, hollow, sam = axes.lines
    assert points(sgd) == [(rank, pytest.approx(y)) for rank, y in enumerate((0.01, 0.02, 0.03, 0.04, 0.06, 0.05))]
    assert points(hollow) == [(4, pytest.approx(0.06))]
    assert hollow.get_markerfacecolor() == "white"
    assert points(sam) == [(4, 0.4)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2", "3", "5", "4"]
    assert [to_hex(patch.get_facecolor()) for patch in axes.patches] == list(COLOURS.values())


def test_seeds_and_families_share_colours_and_differ_in_lines():
    rows = [row(word, one, seed=seed) for word in ("sam", "sgd") for seed in (0, 1) for one in EACH]
    figure = compose("classes.png", [*rows, *(row("sam", one, family="resnet20_digitslt_vs") for one in EACH)])
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert looks == {("black", "-"), ("black", "--"), ("#0072b2", "-"), ("#0072b2", "--"), ("#0072b2", ":")}
    assert (legend(figure)[0], legend(figure)[-1]) == ("ce_drw_sgd.seed0", "vs_sam.seed0")


def test_a_panel_a_model_over_its_epochs():
    rows = [row(one=one, epoch=epoch, low=-4.0 / epoch) for one in ("tail", "all", "0", "4") for epoch in (40, 10)]
    figure = compose("epochs.png", [*rows, row("sam", epoch=10), row("sam", epoch=20), row("imbsam")])
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == (f"{FAMILY}_sgd.seed0", f"{FAMILY}_sam.seed0")
    assert points(first.lines[0]) == [(10, 0.04), (40, pytest.approx(0.01))]
    colours = [to_hex(line.get_color()) for line in first.lines]
    assert colours[:2] == ["#000000", COLOURS["tail"]]
    assert legend(figure) == ["all", "tail", "class 0 (40)", "class 4 (6)"]
    assert colours[2] != colours[3]
    assert "epochs 10 to 40" in figure.get_suptitle().replace("\n", " ")


def test_lambda_min_over_the_radius_is_the_mean_of_the_seeds():
    rows = [row(word, "tail", low=low) for word, low in (("sam10", -0.1), ("sgd", -0.5), ("sam", -0.3))]
    rows += [row("sam", "tail", seed=1, low=-0.5, converged=False), row("imbsam", "tail", low=-7.0)]
    figure = compose("radius.png", [*rows, row("sam", "head")])
    (axes,) = figure.axes
    line, hollow, _ = axes.lines
    assert points(line) == [(0.0, -0.5), (0.05, pytest.approx(-0.4)), (0.1, -0.1)]
    assert points(hollow) == [(0.05, pytest.approx(-0.4))]
    assert axes.get_title() == f"{FAMILY}, mean of 1 to 2 seeds"


def test_of_many_sets_the_groups_are_drawn_over_the_radius():
    changes = {"class_counts": list(range(20, 0, -1))}
    classes = [row(word, str(j)) for word in RADII for j in range(20)]
    assert len(compose("radius.png", classes, **changes).axes[0].lines) == 13  # and the line at 0
    assert legend(compose("radius.png", [*classes, *(row(w, o) for w in RADII for o in WIDE)], **changes)) == WIDE


def test_zero_and_the_infinite_are_written_at_the_edge():
    rows = [row(word, one, low=0.0) for word in RADII for one in EACH]
    rows += [row("sgd", "all"), row("sam", "all", high=0.0)]
    rows += [row("imbsam", one, high=0.0) for one in EACH] + [row("ssesam", one, low=0.0, high=0.0) for one in EACH]
    classes = compose("classes.png", rows).axes[0]
    assert [line.get_ydata()[0] for line in classes.lines[:3]] == [0, 0, 0]
    assert [text.get_text() for text in classes.texts] == [*GROUPS, *["inf"] * 6, *["nan"] * 6]
    assert [text.get_text() for text in compose("optimizers.png", rows).axes[0].texts] == ["0"]
    single = compose("optimizers.png", [found for found in rows if found["set"] != "all"]).axes[0]
    assert {text.get_text() for text in single.texts} == {"inf", "0", "nan"}


def test_a_positive_lowest_eigenvalue_and_a_single_class():
    changes = {"class_counts": [7], "groups": {"rule": "thirds", "classes": {"head": [0], "mid": [], "tail": []}}}
    rows = [row(word, "0", low=2.0, epoch=epoch) for word in RADII for epoch in (1, 40)]
    for name in ("density.png", "epochs.png", "optimizers.png", "radius.png"):
        figure = compose(name, rows, **changes)
    assert points(figure.axes[0].lines[0]) == [(0, 2), (0.05, 2), (0.1, 2)]
    flat = row(one="0", low=0.0, high=0.0, slice=plane([[0.5] * 3] * 3), density={"nodes": [[0.0]], "weights": [[1.0]]})
    assert len(compose(f"slice_{FAMILY}_sgd.seed0_0.png", [flat], **changes).axes) == 2
    assert compose("density.png", [flat], **changes).axes[0].get_title() == "class 0 (7), width 0.01"


@pytest.mark.parametrize(
    ("loss", "logarithmic"),
    [([[9.0, 0.1, 9.0, 9.0]] * 3, True), ([[1.0, 0.5, 1, 1]] * 3, False), ([[9.0, -0.1, 9.0, 9.0]] * 3, False)],
)
def test_the_plane_marks_w_and_lies_the_right_way_round(loss, logarithmic):
    found = {"lowest": [-1.0, 0.0, 1.0], "highest": [-0.5, 0.0, 0.5, 0.6], "loss": loss}
    figure = compose(f"slice_{FAMILY}_sgd.seed0_tail.png", [row(one="tail", converged=False, slice=found)])
    axes, _ = figure.axes
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 0.6), (-1.0, 1.0))
    (star,) = axes.lines
    assert (points(star), star.get_markerfacecolor()) == ([(0, 0)], "white")
    assert legend(figure) == ["w: loss 0.1"]
    assert "tail" in figure.get_suptitle() and "not converged" in figure.get_suptitle().replace("\n", " ")
    assert ("Log" in type(axes.collections[0].norm).__name__) is logarithmic


@pytest.mark.parametrize(
    ("loss", "axes", "words"),
    [
        ([[None, 0.1, 9.0], [None, 0.1, 0.9], [9.0, None, 0.2]], 2, ["loss not finite", "w: loss 0.1"]),
        ([[0.0, None, 0.1], [0.1, 0.2, 0.1], [0.1, 0.1, None]], 2, ["loss not finite", "w: loss 0.1"]),
        ([[None] * 3, [None, 0.1, None], [None] * 3], 2, ["loss not finite", "w: loss 0.1"]),
        ([[None] * 3] * 3, 1, ["loss not finite", "w: loss 0.1"]),
    ],
)
def test_where_the_loss_on_a_plane_is_not_finite_there_is_no_contour(loss, axes, words, tmp_path):
    found = row(one="tail", slice=plane(loss))
    figure = compose(f"slice_{FAMILY}_sgd.seed0_tail.png", [found])
    assert len(figure.axes) == axes
    assert (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) == ((-0.5, 0.5), (-1.0, 1.0))
    assert legend(figure) == words
    plots_of(document([found]))[f"slice_{FAMILY}_sgd.seed0_tail.png"](tmp_path / "slice.png")
    assert (tmp_path / "slice.png").exists()


def test_names_are_not_read_as_formulas(tmp_path):
    changes = {"benchmark": "vögel_$x^{_$", "settings": {"loss": "recipe", "augment": True}}
    found = plots_of(document([row(one=one) for one in EACH], **changes))
    for name, drawing in found.items():
        drawing(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.png", "density.png"]
