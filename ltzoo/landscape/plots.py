"""Plots of an analysis: which ones its data suffice for; densities, extreme eigenvalues, and the loss on a plane."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ltzoo.data import classes_by_count
from ltzoo.evaluate import save_figure, shade_groups
from ltzoo.landscape.bar_plots import draw_escape, draw_optimizers
from ltzoo.landscape.plot_style import (
    Style,
    Value,
    count_seeds,
    draw_line,
    make_panels,
    mean_value,
    model_styles,
    set_label,
    set_lines,
    write_heading,
    write_model_legend,
    write_set_legend,
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
    pick_evenly,
    radius_of,
    ratio,
    records_with,
    sets_of,
    single_classes,
    with_several_epochs,
    with_several_perturbations,
    with_several_radii,
)
from ltzoo.landscape.spectrum import Density

_FEWEST_CLASSES = 3
_FAINTEST = 1e-10
"""The lowest density shown, relative to the highest."""
_NOT_FINITE = "#bbbbbb"
"""Colour where the loss on a plane is not finite."""


def plots_of(document: Document) -> dict[str, Callable[[Path], None]]:
    """List the plots that the data suffice for.

    Args:
        document: contents of `landscape.json`.

    Returns:
        For each file name, in alphabetical order, the function that draws the plot.
    """
    rows = records_with(document, "lambda_min")
    drawings = {
        "density.png": (draw_density, records_with(document, "density")),
        "classes.png": (draw_classes, len(single_classes(sets_of(document, rows))) >= _FEWEST_CLASSES),
        "epochs.png": (draw_epochs, with_several_epochs(rows)),
        "radius.png": (draw_radius, with_several_radii(rows)),
        "optimizers.png": (draw_optimizers, with_several_perturbations(rows)),
        "escape.png": (draw_escape, escape_records(document)),
    }
    found = {name: partial(drawing, document=document) for name, (drawing, there) in drawings.items() if there}
    slices = records_with(document, "slice")
    last = last_epochs(slices)
    for row in slices:
        # Epochs other than the last are part of the name.
        epoch = "" if row in last else f"_epoch{row['epoch']}"
        found[f"slice_{row['model']}_{row['set']}{epoch}.png"] = partial(draw_slice, document=document, row=row)
    return dict(sorted(found.items()))


def draw_density(path: Path, document: Document) -> None:
    """Plot the spectral density of each set, one line per model (Rangwani 2022, Figure 2).

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
    """
    rows = last_epochs(records_with(document, "density"))
    sets = sets_of(document, rows)
    shown = pick_evenly(sets, MOST_SETS)
    rows = [row for row in rows if row["set"] in shown]
    how = model_styles(rows)
    figure, panels = make_panels(len(shown), 3.6, 2.7)
    for one, axes in zip(shown, panels, strict=True):
        found = group_by(rows, "set")[one]
        _draw_densities(axes, found, how)
        axes.set_title(f"{set_label(document, one)}, {axes.get_title()}", fontsize=9)
    some = "" if len(shown) == len(sets) else f" of {len(shown)} of {len(sets)} sets"
    extremes = {"lambda_min": "<", "lambda_max": ">"}
    marks = {name: Line2D([], [], color="black", ls="none", marker=mark) for name, mark in extremes.items()}
    write_heading(figure, document, f"spectral density of the Hessian{some}, smoothed by a Gaussian", rows)
    write_model_legend(figure, how, marks)
    save_figure(figure, path)


def _draw_densities(axes: Axes, rows: Sequence[Row], how: Mapping[str, Style]) -> None:
    low, high = min(row["lambda_min"] for row in rows), max(row["lambda_max"] for row in rows)
    width = 0.01 * ((high - low) or abs(high) or 1.0)
    at = torch.linspace(low - 5 * width, high + 5 * width, 1101, dtype=torch.float64)
    faintest, top = [], 0.0
    for row in rows:
        nodes, weights = (tuple(map(tuple, row["density"][key])) for key in ("nodes", "weights"))
        density = Density(nodes, weights)
        ends = torch.tensor([row["lambda_min"], row["lambda_max"]], dtype=torch.float64)
        heights, line = density.smoothed(ends, width), how[row["model"]].line
        curve = density.smoothed(at, width)
        axes.plot(at.tolist(), curve.tolist(), **line)
        face = line["color"] if row["converged"] else "white"
        for place, height, mark in zip(ends.tolist(), heights.tolist(), "<>", strict=True):
            axes.plot(place, height, ls="none", marker=mark, ms=5, mfc=face, mec=line["color"], zorder=3)
        faintest.append(float(heights.min()))
        top = max(top, float(curve.max()))
    axes.set(yscale="log", ylim=(max(min(faintest) / 10, _FAINTEST * top), 3 * top), xlabel="eigenvalue")
    axes.set_ylabel("density")
    axes.grid(alpha=0.3)
    axes.set_title(f"width {width:.2g}")


def draw_classes(path: Path, document: Document) -> None:
    """Plot abs(lambda_min / lambda_max) of each class, one line per model (Rangwani 2022, Figure 3).

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
    """
    rows = [row for row in last_epochs(records_with(document, "lambda_min")) if row["set"].isdecimal()]
    order, how = classes_by_count(document["class_counts"]), model_styles(rows)
    rank = {j: place for place, j in enumerate(order)}
    figure, (axes,) = make_panels(1, 7, 3.8)
    for name, span in shade_groups(axes, document["groups"]["classes"], order).items():
        where = axes.get_xaxis_transform()
        axes.text(span.middle, 1.01, name, color=span.colour, transform=where, ha="center", weight="bold")
    for model, found in group_by(rows, "model").items():
        draw_line(axes, {rank[int(row["set"])]: _convexity(row) for row in found}, how[model].line)
    ticks = range(0, len(order), -(-len(order) // 20))
    axes.set_xticks(ticks, [str(order[place]) for place in ticks], fontsize=8)
    axes.set(xlim=(-0.5, len(order) - 0.5), ylim=(0, None), ylabel="|lambda_min / lambda_max|")
    rule = document["groups"]["rule"]
    axes.set_xlabel(f"classes, from the most training images to the fewest; groups by the rule {rule}")
    axes.grid(alpha=0.3, axis="y")
    write_heading(figure, document, "the Hessian of each class's loss (low: near a minimum)", rows)
    write_model_legend(figure, how)
    save_figure(figure, path)


def _convexity(row: Row) -> Value:
    return Value(ratio(row["lambda_min"], row["lambda_max"]), row["converged"])


def draw_epochs(path: Path, document: Document) -> None:
    """Plot abs(lambda_min / lambda_max) over the epochs, one line per set (Rangwani 2022, Figure 3 A and B).

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
    """
    rows = with_several_epochs(records_with(document, "lambda_min"))
    models = group_by(rows, "model")
    figure, panels = make_panels(len(models), 4, 3.2, across=3, share=True)
    for axes, (model, found) in zip(panels, models.items(), strict=True):
        for one, line in set_lines(document, sets_of(document, found)).items():
            draw_line(axes, {row["epoch"]: _convexity(row) for row in found if row["set"] == one}, line)
        axes.set(xlabel="epochs", ylabel="|lambda_min / lambda_max|")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.set_title(model, fontsize=9)
    panels[0].set_ylim(0, None)
    write_heading(figure, document, "the Hessian of each set's loss (low: near a minimum)", rows)
    write_set_legend(figure, document, rows)
    save_figure(figure, path)


def draw_radius(path: Path, document: Document) -> None:
    """Plot lambda_min over SAM's radius, with SGD at radius 0, one line per set (Rangwani 2022, Figures 3 C and 4).

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
    """
    rows = with_several_radii(last_epochs(records_with(document, "lambda_min")))
    sets = limit_sets(sets_of(document, rows), MOST_SETS)
    rows = [row for row in rows if row["set"] in sets]
    families = group_by(rows, family_of)
    figure, panels = make_panels(len(families), 5, 3.6, across=3)
    for axes, (family, found) in zip(panels, families.items(), strict=True):
        for one, line in set_lines(document, sets_of(document, found)).items():
            seeds: dict[float, list[Value]] = {}
            for row in found:
                if row["set"] == one:
                    seeds.setdefault(radius_of(row) or 0.0, []).append(Value(row["lambda_min"], row["converged"]))
            draw_line(axes, {rho: mean_value(values) for rho, values in seeds.items()}, line)
        axes.axhline(0, color="black", lw=0.8)
        axes.set(xlabel="rho of SAM (0: SGD)", ylabel="lambda_min")
        axes.grid(alpha=0.3)
        axes.set_title(f"{family}, {count_seeds(found)}", fontsize=9)
    write_heading(figure, document, "the lowest eigenvalue of the Hessian", rows)
    write_set_legend(figure, document, rows)
    save_figure(figure, path)


def draw_slice(path: Path, document: Document, row: Row) -> None:
    """Plot the loss on the plane of the two extreme eigenvectors, with w in the middle; grey where it is not finite.

    Args:
        path: PNG file to write.
        document: contents of `landscape.json`.
        row: one of its spectra that has a slice.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    plane = row["slice"]
    # None, a loss that is not finite, becomes NaN.
    loss = np.ma.masked_invalid(np.array(plane["loss"], dtype=float))
    if loss.count():
        filled = _fill_contours(axes, plane, loss)
        figure.colorbar(filled, label="loss", format="%.3g")
    axes.set(xlim=_ends(plane["highest"]), ylim=_ends(plane["lowest"]))
    if loss.count() < loss.size:
        axes.set_facecolor(_NOT_FINITE)
        axes.fill([], [], color=_NOT_FINITE, label="loss not finite")
    face, edge = ("#d55e00", "white") if row["converged"] else ("white", "#d55e00")
    axes.plot(0, 0, ls="none", marker="*", ms=14, mfc=face, mec=edge, label=f"w: loss {row['loss']:.3g}")
    axes.set_xlabel(f"along the highest eigenvector (lambda_max {row['lambda_max']:.3g})")
    axes.set_ylabel(f"along the lowest eigenvector (lambda_min {row['lambda_min']:.3g})")
    figure.legend(loc="outside lower center", fontsize=8)
    write_heading(figure, document, f"{row['model']}, {set_label(document, row['set'])}", [row])
    save_figure(figure, path)


def _fill_contours(axes: Axes, plane: Mapping[str, Any], loss: np.ma.MaskedArray) -> QuadContourSet:
    # A loss of 0 (underflow) cannot be shown on a log scale; use the smallest loss above 0.
    above = np.ma.masked_less_equal(loss, 0).compressed()
    loss = np.ma.maximum(loss, above.min()) if len(above) else loss
    low, high = float(loss.min()), float(loss.max())
    # With linear levels, the growth along the highest eigenvector would hide the shape along the lowest.
    logarithmic = low > 0 and 10 * low < high
    levels = np.geomspace(low, high, 25) if logarithmic else MaxNLocator(25).tick_values(low, high)
    norm = LogNorm(low, high) if logarithmic else None
    filled = axes.contourf(plane["highest"], plane["lowest"], loss, levels, norm=norm, cmap="cividis")
    axes.contour(filled, colors="white", linewidths=0.4)
    return filled


def _ends(ascending: Sequence[float]) -> tuple[float, float]:
    return ascending[0], ascending[-1]
