"""Pictures over several recipes: accuracy against SAM's radius, and accuracy of each group against the epoch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ltzoo.evaluate import COLOURS, PERTURBATION_COLOURS, save_figure, spread
from ltzoo.recipes import Recipe
from ltzoo.report.standing import Standing
from ltzoo.sharpness import SAM

_LINES = {
    "sgd": ":",
    "sam": "--",
    "imbsam": "-.",
    "samext": (0, (3, 1, 1, 1)),
    "ssesam": "-",
}
"""A perturbation's line."""

_FEWEST_RADII = 3


def pictures_of(standings: Mapping[str, Standing]) -> dict[str, Callable[[Path], None]]:
    """Find the families of recipes, those that differ in their perturbation alone, that have what a picture wants.

    Args:
        standings: a recipe's name to its results.

    Returns:
        A picture's name, in alphabetical order, to what draws it.
    """
    families: dict[str, list[Standing]] = {}
    for standing in standings.values():
        if standing.results[0].recipe:
            families.setdefault(standing.model.rpartition("_")[0], []).append(standing)
    found = {}
    for family, members in families.items():
        if len(_radii(members)) >= _FEWEST_RADII:
            found[f"radius_{family}.png"] = partial(draw_radius, family=family, standings=members)
        if len(_perturbations(members)) > 1:
            found[f"epochs_{family}.png"] = partial(draw_epochs, family=family, standings=members)
    return dict(sorted(found.items()))


def draw_radius(path: Path, family: str, standings: Sequence[Standing]) -> None:
    """Draw accuracy over SAM's radius, SGD being radius 0 (Rangwani 2022, Figure 4).

    Args:
        path: PNG to write.
        family: heading; what the recipes share.
        standings: recipes of SGD, and of SAM with different radii.
    """
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    radii = sorted(_radii(standings).items())
    spreads = [standing.spreads() for _, standing in radii]
    for column, colour in {"overall": "black", **COLOURS}.items():
        points = [(rho, found[column]) for (rho, _), found in zip(radii, spreads, strict=True) if column in found]
        if points:
            xs, means = [rho for rho, _ in points], [found.mean for _, found in points]
            bars = [found.std or 0.0 for _, found in points]
            axes.errorbar(xs, means, bars, color=colour, marker="o", capsize=3, label=column)
    axes.set(xlabel="rho of SAM (0: SGD)", ylabel="test accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    axes.set_title(f"{family}: last epoch, {_runs(standing for _, standing in radii)}", fontsize=10)
    save_figure(figure, path)


def draw_epochs(path: Path, family: str, standings: Sequence[Standing]) -> None:
    """Draw accuracy of each group over the epochs, a line a perturbation (Lyu 2025, Figure 3).

    Args:
        path: PNG to write.
        family: heading; what the recipes share.
        standings: recipes with perturbations of different kinds.
    """
    members = _perturbations(standings)
    columns = [column for column in ("head", "mid", "tail") if any(_curve(s, column) for s in members.values())]
    figure = Figure(figsize=(4 * len(columns), 3.4), layout="constrained")
    for position, column in enumerate(columns):
        axes = figure.add_subplot(1, len(columns), position + 1)
        for word, standing in members.items():
            colour, line = PERTURBATION_COLOURS[word], _LINES[word]
            points = _curve(standing, column)
            axes.plot([x for x, _ in points], [y for _, y in points], color=colour, ls=line, lw=1.2, label=word)
        _finish(axes, column)
    figure.suptitle(f"{family}: mean of {_runs(members.values())}", fontsize=10)
    save_figure(figure, path)


def _finish(axes: Axes, column: str) -> None:
    axes.set(xlabel="epochs", ylabel=f"{column} accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _perturbations(standings: Sequence[Standing]) -> dict[str, Standing]:
    """Give the members with their protocol's own radii, by perturbation."""
    by_word = {standing.model.rpartition("_")[2]: standing for standing in standings}
    return {word: by_word[word] for word in _LINES if word in by_word}


def _radii(standings: Iterable[Standing]) -> dict[float, Standing]:
    """Give the members with one constant radius for all classes, SGD having none."""
    found = {}
    for standing in standings:
        recipe = standing.results[0].recipe
        radius = None if recipe is None else _radius(recipe)
        if radius is not None:
            found[radius] = standing
    return found


def _radius(recipe: Recipe) -> float | None:
    perturbation = recipe.perturbation
    if perturbation.name == "sgd":
        return 0.0
    if perturbation.name == "sam" and isinstance(perturbation, SAM) and isinstance(perturbation.rho, float):
        return perturbation.rho
    return None


def _curve(standing: Standing, column: str) -> list[tuple[int, float]]:
    """Give the epochs, from 1, that every seed has measured, and the mean."""
    by_epoch: dict[int, list[float]] = {}
    for result in standing.results:
        for epoch, value in zip(result.curve["epoch"], result.curve[column], strict=True):
            if epoch is not None and value is not None:
                by_epoch.setdefault(int(epoch) + 1, []).append(value)
    whole = len(standing.results)
    return [(epoch, spread(values).mean) for epoch, values in sorted(by_epoch.items()) if len(values) == whole]


def _runs(standings: Iterable[Standing]) -> str:
    counts = sorted({len(standing.results) for standing in standings})
    return f"{' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} runs"
