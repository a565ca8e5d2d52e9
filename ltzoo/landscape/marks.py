"""How the pictures draw a model, a set of classes, and a value that is infinite or has not converged."""

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

from ltzoo.evaluate import COLOURS, PERTURBATION_COLOURS
from ltzoo.landscape.rows import Document, Row, by_count, classes_of, evenly, grouped, sets_of, wide, word_of

_SPARE = ("#e69f00", "#56b4e9", "#7f7f7f", "#f0e442")
_LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
_HATCHES = ("", "///", "...", "xx", "\\\\\\", "oo")
_MOST_ENTRIES = 12


@dataclass(frozen=True)
class Style:
    """How what has a name is told from the others.

    Attributes:
        colour: of its perturbation.
        number: how many before it have the same colour.
    """

    colour: str
    number: int

    @property
    def line(self) -> dict[str, Any]:
        """As a line."""
        return {"color": self.colour, "ls": _LINES[self.number % len(_LINES)], "lw": 1.3}

    @property
    def hatch(self) -> str:
        """As a bar."""
        return _HATCHES[self.number % len(_HATCHES)]


@dataclass(frozen=True)
class Value:
    """A number, and whether the spectrum that it comes from has converged."""

    number: float
    converged: bool


def model_styles(rows: Iterable[Row]) -> dict[str, Style]:
    """Choose a style for each model."""
    return choose_styles({row["model"]: word_of(row) for row in rows})


def choose_styles(words: Mapping[str, str]) -> dict[str, Style]:
    """Choose a style for each name.

    Args:
        words: a name to its perturbation as a recipe's name has it, `sam10` say.
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
    """Choose a line for each set: classes go from dark to light with the rank of their count."""
    ranks = {str(j): rank for rank, j in enumerate(by_count(document))}
    last = max(len(ranks) - 1, 1)
    found: dict[str, dict[str, Any]] = {}
    for one in sets:
        if one in ranks:
            # Without the map's last, pale tenth.
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
    """Name a set, a class with its training images."""
    return f"class {one} ({document['class_counts'][int(one)]})" if one.isdecimal() else one


def model_labels(models: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Split the models' names into the words that all begin with, and the rest of each, its last word at least."""
    words = zip(*(model.split("_")[:-1] for model in models), strict=False)
    shared = "".join(f"{found[0]}_" for found in takewhile(lambda found: len(set(found)) == 1, words))
    return shared, {model: model.removeprefix(shared) for model in models}


def make_panels(
    count: int, width: float, height: float, across: int = 4, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels.

    Args:
        count: how many.
        width: of each, in inches.
        height: of each.
        across: at most so many lie side by side.
        share: give all the same vertical axis.
    """
    columns = min(count, across)
    lines = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * lines + 0.5), layout="constrained")
    panels: list[Axes] = []
    for place in range(count):
        panels.append(figure.add_subplot(lines, columns, place + 1, sharey=panels[0] if share and panels else None))
    return figure, panels


def write_heading(figure: Figure, document: Document, what: str, rows: Sequence[Row]) -> None:
    """Head a figure's panels: benchmark, loss, what is drawn, after which epochs, and what a hollow mark means."""
    settings = document["settings"]
    loss = {"ce": "cross-entropy", "recipe": "the recipe's loss"}.get(settings["loss"], "loss")
    images = ", augmented images" if settings.get("augment") else ""
    hollow = "" if all(row["converged"] for row in rows) else "; hollow: not converged"
    text = _plain(f"{document['benchmark']}, {loss}{images}: {what}, {_epochs(rows)}{hollow}")
    # Some 14 characters of this size fill an inch.
    lines = textwrap.fill(text, int(14 * figure.get_figwidth()))
    figure.suptitle(lines, x=0.01, ha="left", fontsize=10)


def _epochs(rows: Sequence[Row]) -> str:
    found = sorted({(row["epoch"], row["epochs"]) for row in rows})
    if len(found) == 1:
        return "epoch {} of {}".format(*found[0])
    return "last epoch" if all(n == whole for n, whole in found) else f"epochs {found[0][0]} to {found[-1][0]}"


def draw_line(axes: Axes, points: Mapping[float, Value], style: Mapping[str, Any]) -> None:
    """Draw values over x; hollow where they have not converged, and named at the edge where they are not finite."""
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
    """Say how many seeds a mean is over."""
    rows = list(rows)
    counts = sorted({len({row["seed"] for row in found}) for found in grouped(rows, "recipe").values()})
    if counts[-1] == 1:
        seeds = sorted({row["seed"] for row in rows})
        return f"seed {seeds[0]}" if len(seeds) == 1 else f"one seed each, of {', '.join(map(str, seeds))}"
    return f"mean of {' to '.join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))} seeds"


def mean_value(values: Sequence[Value]) -> Value:
    """Compute the mean; it has converged if all have."""
    return Value(statistics.fmean(value.number for value in values), all(value.converged for value in values))


def write_edge(axes: Axes, x: float, number: float, colour: Any) -> None:
    """Write a number that the axis cannot show at the edge that it lies beyond: 0 below, the infinite above."""
    low = number == 0
    place = blended_transform_factory(axes.transData, axes.transAxes)
    height, side = (0.02, "bottom") if low else (0.98, "top")
    axes.text(x, height, f"{number:g}", color=colour, rotation=90, transform=place, ha="center", va=side, fontsize=8)


def write_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], title: str = "") -> None:
    """Put a legend beside the panels, when they have their heading; the figure grows by it."""
    texts = [_plain(label) for label in labels]
    figure.legend(handles, texts, title=title or None, loc="outside right upper", fontsize=8, title_fontsize=8)
    # A line of text is 0.17 inches high, and a character less than 0.07 wide.
    width = max(0.07 * max(map(len, labels)) + 0.6, 0.07 * len(title) + 0.2)
    figure.set_size_inches(figure.get_figwidth() + width, max(figure.get_figheight(), 0.17 * len(texts) + 0.5))


def write_model_legend(figure: Figure, how: Mapping[str, Style], more: Mapping[str, Artist] | None = None) -> None:
    """Name the models' lines, and more marks."""
    shared, labels = model_labels(list(how))
    entries: dict[str, Artist] = {labels[model]: Line2D([], [], **style.line) for model, style in how.items()}
    entries |= more or {}
    write_legend(figure, list(entries.values()), list(entries), shared and f"{shared}...")


def write_set_legend(figure: Figure, document: Document, rows: Sequence[Row]) -> None:
    """Name the sets' lines; of many classes some, since their colours follow their counts."""
    sets = sets_of(document, rows)
    classes = evenly(classes_of(sets), _MOST_ENTRIES)
    lines = set_lines(document, [*wide(sets), *classes])
    handles = [Line2D([], [], **line) for line in lines.values()]
    some = "" if len(classes) == len(classes_of(sets)) else f"{len(classes)} of {len(classes_of(sets))} classes"
    write_legend(figure, handles, [set_label(document, one) for one in lines], some)


def _plain(text: str) -> str:
    """Keep dollars from being read as formulas."""
    return text.replace("$", r"\$")
