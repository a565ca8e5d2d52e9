"""Plots across recipes: accuracy over SAM's radius, accuracy of each group over the epochs, and accuracy over cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ltzoo.evaluate import COLOURS, PERTURBATION_COLOURS, Spread, save_figure, spread
from ltzoo.recipes import FirstStage, Fresh, Recipe
from ltzoo.recipes.cost import total_passes
from ltzoo.report.model_results import COLUMNS, ModelResults
from ltzoo.sharpness import SAM

_LINES = {
    "sgd": ":",
    "sam": "--",
    "imbsam": "-.",
    "samext": (0, (3, 1, 1, 1)),
    "ssesam": "-",
    "focalsam": (0, (5, 1)),
}
"""Line style of each perturbation."""

_MARKERS = {"sgd": "o", "sam": "s", "imbsam": "^", "samext": "v", "ssesam": "D", "focalsam": "P"}
"""Marker of each perturbation."""

_LOSS_COLOURS = ("black", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours of the losses, from the palette of `PERTURBATION_COLOURS`."""

_FEWEST_RADII = 3


def available_plots(models: Mapping[str, ModelResults]) -> dict[str, Callable[[Path], None]]:
    """Find the plots for which there are enough results.

    Recipes that differ in their perturbation alone share a plot over the epochs if one of them was measured in several
    epochs, but for second stages, whose classifiers train for a few epochs or none; that of accuracy over cost has all
    recipes of an architecture on a benchmark, with fresh weights and their protocol's radii.

    Args:
        models: the results by `Result.key`.

    Returns:
        File name, in alphabetical order, to a function that draws the plot to a path.
    """
    families: dict[str, list[ModelResults]] = {}
    together: dict[str, dict[str, list[ModelResults]]] = {}
    for model in models.values():
        recipe = model.results[0].recipe
        if recipe and not isinstance(recipe.start, FirstStage):
            family, _, word = model.name.rpartition("_")
            families.setdefault(family, []).append(model)
            if word in _MARKERS and isinstance(recipe.start, Fresh):
                place = "_".join(model.name.split("_")[:2])
                together.setdefault(place, {}).setdefault(family.removeprefix(f"{place}_"), []).append(model)
    found = {}
    for place, by_loss in together.items():
        if sum(len(members) > 1 for members in by_loss.values()) > 1:
            found[f"cost_{place}.png"] = partial(draw_cost, title=place, by_loss=by_loss)
    for family, members in families.items():
        if len(_radii(members)) >= _FEWEST_RADII:
            found[f"radius_{family}.png"] = partial(draw_radius, family=family, models=members)
        lines = _perturbations(members).values()
        if len(lines) > 1 and any(len(_curve(model, "overall")) > 1 for model in lines):
            found[f"epochs_{family}.png"] = partial(draw_epochs, family=family, models=members)
    return dict(sorted(found.items()))


def draw_radius(path: Path, family: str, models: Sequence[ModelResults]) -> None:
    """Draw accuracy over SAM's radius, with SGD at radius 0 (Rangwani 2022, Figure 4).

    Args:
        path: PNG to write.
        family: the common part of the recipes' names, used as the title.
        models: recipes with SGD, and with SAM at different radii.
    """
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    radii = sorted(_radii(models).items())
    spreads = [model.spreads() for _, model in radii]
    for column, colour in {"overall": "black", **COLOURS}.items():
        points = [(rho, found[column]) for (rho, _), found in zip(radii, spreads, strict=True) if column in found]
        if points:
            xs, means = [rho for rho, _ in points], [found.mean for _, found in points]
            bars = [found.std or 0.0 for _, found in points]
            axes.errorbar(xs, means, bars, color=colour, marker="o", capsize=3, label=column)
    axes.set(xlabel="rho of SAM (0: SGD)", ylabel="test accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    axes.set_title(f"{family}: last epoch, {_runs(model for _, model in radii)}", fontsize=10)
    save_figure(figure, path)


def draw_epochs(path: Path, family: str, models: Sequence[ModelResults]) -> None:
    """Draw accuracy of each group over the epochs, one line per perturbation (Lyu 2025, Figure 3).

    Args:
        path: PNG to write.
        family: the common part of the recipes' names, used as the title.
        models: recipes with different perturbations.
    """
    members = _perturbations(models)
    columns = [column for column in ("head", "mid", "tail") if any(_curve(s, column) for s in members.values())]
    figure = Figure(figsize=(4 * len(columns), 3.4), layout="constrained")
    for position, column in enumerate(columns):
        axes = figure.add_subplot(1, len(columns), position + 1)
        for word, model in members.items():
            colour, line = PERTURBATION_COLOURS[word], _LINES[word]
            points = _curve(model, column)
            axes.plot([x for x, _ in points], [y for _, y in points], color=colour, ls=line, lw=1.2, label=word)
        _finish(axes, column)
    figure.suptitle(f"{family}: {_runs(members.values())}", fontsize=10)
    save_figure(figure, path)


def draw_cost(path: Path, title: str, by_loss: Mapping[str, Sequence[ModelResults]]) -> None:
    """Draw accuracy, overall and of each group, over the cost of the training; one line per loss.

    Args:
        path: PNG to write.
        title: what the recipes share.
        by_loss: for each loss, with its re-weighting, its recipes with different perturbations.
    """
    measured = {column for group in by_loss.values() for model in group for column in model.spreads()}
    columns = [column for column in COLUMNS if column in measured]
    rows = 2 if len(columns) == 4 else 1
    figure = Figure(figsize=(10, 3.5 * rows), layout="constrained")
    for axes, column in zip(figure.subplots(rows, len(columns) // rows).flat, columns, strict=True):
        for colour, (loss, members) in zip(cycle(_LOSS_COLOURS), sorted(by_loss.items()), strict=False):
            points = sorted(_cost_points(members, column))
            axes.plot([x for x, _, _ in points], [y.mean for _, _, y in points], color=colour, lw=1, label=loss)
            for x, word, y in points:
                axes.errorbar(x, y.mean, y.std or 0.0, color=colour, marker=_MARKERS[word], capsize=3)
        axes.set(xlabel="cost per training image (forward passes, all epochs)", ylabel=f"{column} accuracy (%)")
        axes.grid(alpha=0.3)
    drawn = {model.name.rpartition("_")[2] for members in by_loss.values() for model in members}
    lines = axes.get_legend_handles_labels()[0]
    marks = [Line2D([], [], color="grey", marker=_MARKERS[w], ls="", label=w) for w in _MARKERS if w in drawn]
    figure.legend(handles=[*lines, *marks], fontsize=8, loc="outside right center")
    figure.suptitle(
        f"{title}: last epoch, {_runs(model for group in by_loss.values() for model in group)}", fontsize=10
    )
    save_figure(figure, path)


def _cost_points(models: Sequence[ModelResults], column: str) -> list[tuple[float, str, Spread]]:
    """Return the cost, the word of the perturbation and the accuracy of each recipe that has that accuracy."""
    found = []
    for model in models:
        recipe, spreads = model.results[0].recipe, model.spreads()
        cost = None if recipe is None else total_passes(recipe)
        if cost is not None and column in spreads:
            found.append((cost, model.name.rpartition("_")[2], spreads[column]))
    return found


def _finish(axes: Axes, column: str) -> None:
    axes.set(xlabel="epochs", ylabel=f"{column} accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _perturbations(models: Sequence[ModelResults]) -> dict[str, ModelResults]:
    """Return the recipes with their protocol's radii, by perturbation."""
    by_word = {model.name.rpartition("_")[2]: model for model in models}
    return {word: by_word[word] for word in _LINES if word in by_word}


def _radii(models: Iterable[ModelResults]) -> dict[float, ModelResults]:
    """Return the recipes with one constant radius for all classes, by radius; SGD has radius 0."""
    found = {}
    for model in models:
        recipe = model.results[0].recipe
        radius = None if recipe is None else _radius(recipe)
        if radius is not None:
            found[radius] = model
    return found


def _radius(recipe: Recipe) -> float | None:
    perturbation = recipe.perturbation
    if perturbation.name == "sgd":
        return 0.0
    if perturbation.name == "sam" and isinstance(perturbation, SAM) and isinstance(perturbation.rho, float):
        return perturbation.rho
    return None


def _curve(model: ModelResults, column: str) -> list[tuple[int, float]]:
    """Return (epoch from 1, mean accuracy) of the epochs that were measured in every seed."""
    by_epoch: dict[int, list[float]] = {}
    for result in model.results:
        for epoch, value in zip(result.curve["epoch"], result.curve[column], strict=True):
            if epoch is not None and value is not None:
                by_epoch.setdefault(int(epoch) + 1, []).append(value)
    whole = len(model.results)
    return [(epoch, spread(values).mean) for epoch, values in sorted(by_epoch.items()) if len(values) == whole]


def _runs(models: Iterable[ModelResults]) -> str:
    """Say how many runs a point of the plot is the mean of."""
    counts = sorted({len(model.results) for model in models})
    if counts[-1] == 1:
        return "1 run"
    return f"mean of {' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} runs"
