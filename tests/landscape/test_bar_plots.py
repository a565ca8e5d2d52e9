"""Pictures in bars: each optimizer's extremes, and each method's escape."""

import pytest
from matplotlib.colors import to_hex

from tests.landscape.spectra import RADII, compose, legend, row, squares

pytestmark = [pytest.mark.filterwarnings(f"error::{kind}") for kind in ("UserWarning", "RuntimeWarning")]


def test_bars_of_optimizers_from_one_with_a_dot_a_seed():
    rows = [row("sam", one, high=high) for one, high in (("all", 10.0), ("tail", 0.25), ("0", 1.0))]
    rows += [row("sgd", one, high=5.0) for one in ("all", "tail", "0")] + [row("sgd", "all", seed=1, high=15.0)]
    figure = compose("optimizers.png", [*rows, row("sgd", family="resnet20_digitslt_vs")])
    (axes,) = figure.axes
    tops = [patch.get_y() + patch.get_height() for patch in axes.patches]
    assert tops == [20, 10, 20, 0.5]
    assert {patch.get_y() for patch in axes.patches} == {1}
    assert [line.get_ydata()[0] for line in axes.lines] == [10, 30, 1]
    assert axes.get_yscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all", "tail"]
    assert legend(figure) == ["sgd", "sam"]


def test_optimizers_stand_in_the_order_of_the_registry():
    words = ["zz", "gnm", "asam", "focalsam", "ssesam", "sam10", "sam", "sgd"]
    figure = compose("optimizers.png", [row(word) for word in words])
    assert legend(figure) == ["sgd", "sam", "sam10", "ssesam", "focalsam", "asam", "gnm", "zz"]


def test_single_classes_have_bars_where_nothing_else_was_measured():
    figure = compose("optimizers.png", [row(word, one) for word in RADII for one in ("4", "0")])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["class 0\n(40)", "class 4\n(6)"]


def test_escape_is_drawn_in_units_of_sgd():
    stages = {"ssesam first epoch": {"mean_square": 0.1}, "ssesam last epoch": {"mean_square": 0.4}}
    rows = [row(one="tail", escape=squares(sgd=0.2, sam=0.6) | stages)]
    rows += [
        row(one="head", escape=squares(sgd=0.2, sam=0.8), converged=False),
        row("sam", escape=squares(sgd=1, sam=1)),
    ]
    figure = compose("escape.png", rows)
    axes, other = figure.axes
    assert [patch.get_y() + patch.get_height() for patch in axes.patches] == pytest.approx([4, 3, 0.5, 2])
    assert to_hex(axes.patches[0].get_facecolor()) == "#ffffff"
    assert to_hex(axes.patches[2].get_facecolor()) == to_hex(axes.patches[3].get_facecolor())
    assert (axes.patches[2].get_hatch() or "") != axes.patches[3].get_hatch()
    assert legend(figure) == ["sam", "ssesam first epoch", "ssesam last epoch"]
    assert len(other.patches) == 1
