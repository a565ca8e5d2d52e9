"""Common style of the plots: lines and labels of models and sets, infinite and non-converged values, legends."""

import math
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from ltzoo.data import classes_by_count
from ltzoo.evaluate import COLOURS, PERTURBATION_COLOURS
from ltzoo.landscape.records import (
    Document,
    Row,
    group_by,
    perturbation_of,
    pick_evenly,
    sets_of,
    single_classes,
    without_single_classes,
)

_SPARE = ("#e69f00", "#56b4e9", "#7f7f7f", "#f0e442")
_LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
_HATCHES = ("", "///", "...", "xx", "\\\\\\", "oo")
_MOST_ENTRIES = 12


@dataclass(frozen=True)
class Style:
    """Style of a model or method.

    Attributes:
        colour: colour of its perturbation.
        number: number of earlier entries with the same colour; selects line style and hatch.
    """

    colour: str
    number: int

    @property
    def line(self) -> dict[str, Any]:
        """Line properties for matplotlib."""
        return {"color": self.colour, "ls": _LINES[self.number % len(_LINES)], "lw": 1.3}

    @property
    def hatch(self) -> str:
        """Hatch of a bar."""
        return _HATCHES[self.number % len(_HATCHES)]


@dataclass(frozen=True)
class Value:
    """A number, and whether its spectrum has converged."""

    number: float
    converged: bool


def model_styles(rows: Iterable[Row]) -> dict[str, Style]:
    """Choose a style for each model."""
    return choose_styles({row["model"]: perturbation_of(row) for row in rows})


def choose_styles(words: Mapping[str, str]) -> dict[str, Style]:
    """Choose a style for each name.

    Args:
        words: for each name, its perturbation as in recipe names, for example `sam10`.
    """
    others = sorted(set(words.values()) - set(PERTURBATION_COLOURS))
    colours = PERTURBATION_COLOURS | {word: _SPARE[n % len(_SPARE)] for n, word in enumerate(others)}
    seen: Counter[str] = Counter()
    found = {}
    for name, word in words.items():
        found[name] = Style(colours[word], seen[colours[word]])
        seen[colours[word]] += 1
    return found


def set_lines(document: Document, sets: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Choose a line for each set; classes go from dark to light by the rank of their count."""
    ranks = {str(j): rank for rank, j in enumerate(classes_by_count(document["class_counts"]))}
    last = max(len(ranks) - 1, 1)
    found: dict[str, dict[str, Any]] = {}
    for one in sets:
        if one in ranks:
            # Omit the pale last tenth of the colour map.
            found[one] = {"color": matplotlib.colormaps["viridis"](0.9 * ranks[one] / last), "lw": 1}
        else:
            found[one] = {
                "color": COLOURS.get(one, "black"),
                "lw": 2.2,
                "ls": "-" if one in COLOURS else "--",
                "zorder": 3,
            }
    return found


def set_label(document: Document, one: str) -> str:
    """Label of a set; for a class with its number of training images."""
    return f"class {one} ({document['class_counts'][int(one)]})" if one.isdecimal() else one


def model_labels(models: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Split the models' names into their common prefix and the rest, which keeps at least the last word."""
    words = zip(*(model.split("_")[:-1] for model in models), strict=False)
    shared = "".join(f"{found[0]}_" for found in takewhile(lambda found: len(set(found)) == 1, words))
    return shared, {model: model.removeprefix(shared) for model in models}


def make_panels(
    count: int, width: float, height: float, across: int = 4, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels.

    Args:
        count: number of panels.
        width: width of each in inches.
        height: height of each in inches.
        across: maximum number of panels per row.
        share: share the vertical axis.
    """
    columns = min(count, across)
    lines = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * lines + 0.5), layout="constrained")
    panels: list[Axes] = []
    for place in range(count):
        panels.append(figure.add_subplot(lines, columns, place + 1, sharey=panels[0] if share and panels else None))
    return figure, panels


def write_heading(figure: Figure, document: Document, what: str, rows: Sequence[Row]) -> None:
    """Write the heading: benchmark, loss, what is plotted, epochs, and the meaning of hollow marks."""
    settings = document["settings"]
    loss = {"ce": "cross-entropy", "recipe": "the recipe's loss"}.get(settings["loss"], "loss")
    images = ", augmented images" if settings.get("augment") else ""
    hollow = "" if all(row["converged"] for row in rows) else "; hollow: not converged"
    text = _plain(f"{document['benchmark']}, {loss}{images}: {what}, {_epochs(rows)}{hollow}")
    # About 14 characters of this size fit into an inch.
    lines = textwrap.fill(text, int(14 * figure.get_figwidth()))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=10)


def _epochs(rows: Sequence[Row]) -> str:
    found = sorted({(row["epoch"], row["epochs"]) for row in rows})
    if len(found) == 1:
        return "epoch {} of {}".format(*found[0])
    return "last epoch" if all(n == whole for n, whole in found) else f"epochs {found[0][0]} to {found[-1][0]}"


def draw_line(axes: Axes, points: Mapping[float, Value], style: Mapping[str, Any]) -> None:
    """Draw values over x, with hollow marks if not converged; non-finite values are written at the edge."""
    xs = sorted(points)
    axes.plot(xs, [points[x].number for x in xs], **style, marker="o", ms=4)
    hollow = [x for x in xs if not points[x].converged]
    if hollow:
        ys = [points[x].number for x in hollow]
        axes.plot(hollow, ys, ls="none", marker="o", ms=5, mfc="white", mec=style["color"], zorder=3)
    for x in xs:
        if not math.isfinite(points[x].number):
            write_edge(axes, x, points[x].number, style["color"])


def count_seeds(rows: Iterable[Row]) -> str:
    """Describe the number of seeds."""
    rows = list(rows)
    counts = sorted({len({row["seed"] for row in found}) for found in group_by(rows, "recipe").values()})
    if counts[-1] == 1:
        seeds = sorted({row["seed"] for row in rows})
        return f"seed {seeds[0]}" if len(seeds) == 1 else f"one seed each, of {', '.join(map(str, seeds))}"
    return f"mean of {' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} seeds"


def mean_value(values: Sequence[Value]) -> Value:
    """Compute the mean; it counts as converged if all values have converged."""
    return Value(statistics.fmean(value.number for value in values), all(value.converged for value in values))


def write_edge(axes: Axes, x: float, number: float, colour: Any) -> None:
    """Write a value that the axis cannot show at its edge: 0 at the bottom, infinity at the top."""
    low = number == 0
    place = blended_transform_factory(axes.transData, axes.transAxes)
    height, side = (0.02, "bottom") if low else (0.98, "top")
    axes.text(x, height, f"{number:g}", color=colour, rotation=90, transform=place, ha="center", va=side, fontsize=8)


def write_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], title: str = "") -> None:
    """Add a legend beside the panels and widen the figure; call after the heading."""
    texts = [_plain(label) for label in labels]
    figure.legend(handles, texts, title=title or None, loc="outside right upper", fontsize=8, title_fontsize=8)
    # A line of text is 0.17 inches high, a character less than 0.07 inches wide.
    width = max(0.07 * max(map(len, labels)) + 0.6, 0.07 * len(title) + 0.2)
    figure.set_size_inches(figure.get_figwidth() + width, max(figure.get_figheight(), 0.17 * len(texts) + 0.5))


def write_model_legend(figure: Figure, how: Mapping[str, Style], more: Mapping[str, Artist] | None = None) -> None:
    """Add the legend of the models' lines and of further marks."""
    shared, labels = model_labels(list(how))
    entries: dict[str, Artist] = {labels[model]: Line2D([], [], **style.line) for model, style in how.items()}
    entries |= more or {}
    write_legend(figure, list(entries.values()), list(entries), shared and f"{shared}...")


def write_set_legend(figure: Figure, document: Document, rows: Sequence[Row]) -> None:
    """Add the legend of the sets' lines; with many classes only some, since colours follow the counts."""
    sets = sets_of(document, rows)
    classes = pick_evenly(single_classes(sets), _MOST_ENTRIES)
    lines = set_lines(document, [*without_single_classes(sets), *classes])
    handles = [Line2D([], [], **line) for line in lines.values()]
    some = "" if len(classes) == len(single_classes(sets)) else f"{len(classes)} of {len(single_classes(sets))} classes"
    write_legend(figure, handles, [set_label(document, one) for one in lines], some)


def _plain(text: str) -> str:
    """Escape dollar signs, which matplotlib would read as formulas."""
    return text.replace("$", r"\$")
