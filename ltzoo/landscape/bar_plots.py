"""Bar plots: how close to a minimum each optimizer ends, and how strongly each would escape a saddle point."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter

from ltzoo.evaluate import save_figure
from ltzoo.landscape.plot_style import (
    Style,
    Value,
    choose_styles,
    count_seeds,
    make_panels,
    mean_value,
    set_label,
    write_edge,
    write_heading,
    write_legend,
)
from ltzoo.landscape.records import (
    MOST_SETS,
    Document,
    Row,
    escape_records,
    family_of,
    group_by,
    last_epochs,
    limit_sets,
    perturbation_of,
    perturbations_of,
    pick_evenly,
    ratio,
    records_with,
    sets_of,
    with_several_perturbations,
    without_single_classes,
)


class _PlainLogFormatter(LogFormatter):
    """Labels ticks with plain numbers; within a decade not all ticks are labelled."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


Bars = Mapping[str, Sequence[Sequence[Value]]]
"""For each bar's name, the values of each seed for each set."""


def draw_optimizers(path: Path, document: Document) -> None:
    """Plot abs(lambda_max / lambda_min) of each perturbation on several sets (Lyu 2025, Figure 4).

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
    """
    rows = with_several_perturbations(last_epochs(records_with(document, "lambda_min")))
    sets = sets_of(document, rows)
    sets = without_single_classes(sets) or pick_evenly(sets, MOST_SETS)
    rows = [row for row in rows if row["set"] in sets]
    families, how = group_by(rows, family_of), choose_styles({word: word for word in perturbations_of(rows)})
    figure, panels = _make_panels(len(families), sets)
    for axes, (family, found) in zip(panels, families.items(), strict=True):
        bars = {
            word: [
                [_stability(row) for row in found if (perturbation_of(row), row["set"]) == (word, one)] for one in sets
            ]
            for word in perturbations_of(found)
        }
        _draw_bars(axes, bars, how)
        _finish(axes, document, sets, "|lambda_max / lambda_min|")
        axes.set_title(f"{family}, {count_seeds(found)}", fontsize=9)
    write_heading(figure, document, "the Hessian of each set's loss (high: near a minimum)", rows)
    _write_legend(figure, how)
    save_figure(figure, path)


def draw_escape(path: Path, document: Document) -> None:
    """Plot each method's E[<v_min, g>^2] over the batches relative to SGD's, one group of bars per set.

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
    """
    rows = escape_records(document)
    sets = limit_sets(sets_of(document, rows), MOST_SETS)
    rows = [row for row in rows if row["set"] in sets]
    methods = [
        method for method in dict.fromkeys(method for row in rows for method in row["escape"]) if method != "sgd"
    ]
    models = group_by(rows, "model")
    # `ssesam first epoch` and `ssesam last epoch` share a colour.
    how = choose_styles({method: method.partition(" ")[0] for method in methods})
    figure, panels = _make_panels(len(models), sets)
    for axes, (model, found) in zip(panels, models.items(), strict=True):
        bars = {
            method: [
                [_escape(row, method) for row in found if row["set"] == one and method in row["escape"]] for one in sets
            ]
            for method in methods
        }
        _draw_bars(axes, bars, how)
        _finish(axes, document, sets, "E[<v_min, g>^2] relative to SGD's")
        axes.set_title(model, fontsize=9)
    write_heading(figure, document, "the gradient's component along the lowest eigenvector", rows)
    _write_legend(figure, how)
    save_figure(figure, path)


def _make_panels(count: int, sets: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Make panels wide enough for the names of the sets."""
    across = 3 if len(sets) < 8 else 2
    return make_panels(count, max(4.2, 0.6 * len(sets)), 3.2, across, share=True)


def _stability(row: Row) -> Value:
    return Value(ratio(row["lambda_max"], row["lambda_min"]), row["converged"])


def _escape(row: Row, method: str) -> Value:
    return Value(ratio(row["escape"][method]["mean_square"], row["escape"]["sgd"]["mean_square"]), row["converged"])


def _draw_bars(axes: Axes, bars: Bars, how: Mapping[str, Style]) -> None:
    """Draw one group of bars per set, on a log axis from 1: the mean over the seeds, and a dot per seed if several."""
    width = 0.8 / len(bars)
    for position, (name, by_set) in enumerate(bars.items()):
        colour, hatch = how[name].colour, how[name].hatch
        for place, values in enumerate(by_set):
            if not values:
                continue
            x, mean = place + (position + 0.5) * width - 0.4, mean_value(values)
            if 0 < mean.number < math.inf:
                face, edge = (colour, "white") if mean.converged else ("white", colour)
                axes.bar(x, mean.number - 1, 0.9 * width, bottom=1, fc=face, ec=edge, hatch=hatch, zorder=2)
            else:
                write_edge(axes, x, mean.number, colour)
            for value in values if len(values) > 1 else []:
                face = "black" if value.converged else "white"
                axes.plot(x, value.number, ls="none", marker="o", ms=3, mfc=face, mec="black", mew=0.7, zorder=3)


def _finish(axes: Axes, document: Document, sets: Sequence[str], name: str) -> None:
    axes.set(yscale="log", ylabel=name)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(_PlainLogFormatter(minor_thresholds=(1, 0.4)))
    axes.axhline(1, color="black", lw=1, zorder=3)
    axes.set_xticks(range(len(sets)), [set_label(document, one).replace(" (", "\n(") for one in sets], fontsize=8)
    axes.set_xlim(-0.6, len(sets) - 0.4)
    axes.grid(alpha=0.3, axis="y", zorder=0)


def _write_legend(figure: Figure, how: Mapping[str, Style]) -> None:
    patches = [Patch(fc=style.colour, ec="white", hatch=style.hatch) for style in how.values()]
    write_legend(figure, patches, list(how))
