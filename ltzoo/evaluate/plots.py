"""Plots: accuracy per class, class counts, training curves, reliability diagram, confusion matrix."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from torch import Tensor

from ltzoo.atomic_write import atomic_write
from ltzoo.data import Groups, classes_by_count
from ltzoo.errors import printable
from ltzoo.evaluate.calibration import Calibration
from ltzoo.evaluate.figures import Figures

COLOURS = {"head": "#0072b2", "mid": "#009e73", "tail": "#d55e00"}
"""Colours of the groups, from Okabe and Ito's palette, which is safe for colour-blind readers."""

PERTURBATION_COLOURS = {
    "sgd": "black",
    "sam": "#0072b2",
    "imbsam": "#009e73",
    "samext": "#cc79a7",
    "ssesam": "#d55e00",
    "focalsam": "#e69f00",
}
"""Colours of the perturbations, from the same palette, by their names in recipe names."""

_MOST_NAMES, _LONGEST_NAME = 40, 20
"""Classes whose names have room on an axis, and characters of a name."""


class Span(NamedTuple):
    """Where a group is on an axis of classes.

    Attributes:
        begin: left edge.
        end: right edge.
        colour: the group's colour.
    """

    begin: float
    end: float
    colour: str

    @property
    def middle(self) -> float:
        """The middle between the edges."""
        return (self.begin + self.end) / 2


def draw_classes(
    path: Path, title: str, figures: Figures, groups: Groups, class_names: Sequence[str] | None = None
) -> None:
    """Plot the accuracy and the training images of each class, with the groups shaded.

    Args:
        path: PNG file to write.
        title: heading.
        figures: the model's figures.
        groups: the grouping to shade.
        class_names: C names, shown of up to 40 classes; None to show none.
    """
    order = classes_by_count(figures.class_counts)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    accuracy = figure.add_subplot()
    counts = accuracy.twinx()
    accuracy.bar(range(len(order)), [figures.per_class[j] for j in order], color="#a8a8a8", width=0.7, zorder=2)
    counts.step(range(len(order)), [figures.class_counts[j] for j in order], where="mid", color="black", lw=1)
    for name, span in shade_groups(accuracy, groups.classes, order).items():
        classes = groups.classes[name]
        mean = sum(figures.per_class[j] for j in classes) / len(classes)
        accuracy.hlines(mean, span.begin, span.end, color=span.colour, lw=2, zorder=3)
        accuracy.text(span.middle, 103, f"{name} {mean:.1f}", color=span.colour, ha="center", weight="bold")
    accuracy.set(ylim=(0, 112), xlim=(-0.5, len(order) - 0.5), ylabel="accuracy (%)")
    accuracy.set_xlabel(f"classes, from the most training images to the fewest; groups by the rule {groups.rule}")
    if class_names is not None and len(order) <= _MOST_NAMES:
        labels = [_short(class_names[j], j) for j in order]
        # A folder name may contain a dollar sign.
        accuracy.set_xticks(range(len(order)), labels, rotation=90, fontsize=7, parse_math=False)
    else:
        accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
    most, fewest = max(figures.class_counts), min(figures.class_counts)
    # Leave room above the line for the group names.
    counts.set(yscale="log", ylim=(fewest / 1.3, most * (1.3 * most / fewest) ** 0.2), ylabel="training images (line)")
    accuracy.set_title(f"{title}: overall {figures.overall:.1f} %, {figures.rule}", fontsize=10)
    save_figure(figure, path)


def draw_class_counts(
    path: Path,
    title: str,
    train_counts: Sequence[int],
    test_counts: Sequence[int] | None,
    groups: Groups,
    test: str = "test",
) -> None:
    """Plot the sorted class counts on a logarithmic scale, with the groups shaded.

    Args:
        path: PNG file to write.
        title: heading.
        train_counts: (C,) training images of each class, each at least 1.
        test_counts: (C,) test images of each class; None to omit them.
        groups: the grouping to shade.
        test: name of the test images for the axis label.
    """
    order = classes_by_count(train_counts)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    edges = [position - 0.5 for position in range(len(order) + 1)]
    most = max((*train_counts, *(test_counts or ())))
    # A class of one image stays visible. Leave room above for the group names.
    floor, top = 0.7, 0.7 * (most / 0.7) ** 1.22
    axes.stairs([train_counts[j] for j in order], edges, baseline=floor, fill=True, color="#a8a8a8", zorder=2)
    if test_counts is not None:
        # NaN leaves a gap for classes without test images.
        heights = [test_counts[j] or math.nan for j in order]
        axes.stairs(heights, edges, baseline=None, color="black", lw=1, zorder=3)
    for name, span in shade_groups(axes, groups.classes, order).items():
        classes = groups.classes[name]
        text = f"{name}\n{len(classes):,} | {sum(train_counts[j] for j in classes):,}"
        axes.text(span.middle, top / 1.1, text, color=span.colour, ha="center", va="top", weight="bold", fontsize=9)
    ylabel = "training images" if test_counts is None else f"images: training (grey), {test} (line)"
    axes.set(yscale="log", ylim=(floor, top), xlim=(-0.5, len(order) - 0.5), ylabel=ylabel)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(
        f"classes, from the most training images to the fewest; groups by the rule {groups.rule}, classes | images"
    )
    # A folder name may contain a dollar sign.
    axes.set_title(title, fontsize=10, parse_math=False)
    save_figure(figure, path)


def draw_curves(path: Path, title: str, history: Sequence[Mapping[str, float | None]], images: str = "test") -> None:
    """Plot training loss and accuracies over the epochs.

    Args:
        path: PNG file to write.
        title: heading.
        history: one record per epoch, keys as in `summary.csv`; None where a value does not apply.
        images: the images that the accuracies are of, for the axis label.
    """
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    # Plots count epochs from 1: the number of epochs trained.
    loss.plot([(row["epoch"] or 0) + 1 for row in history], [row["train_loss"] for row in history], color="black")
    loss.set(xlabel="epochs", ylabel="training loss", ylim=(0, None))
    for key, colour in {"overall": "black", **COLOURS}.items():
        points = [((row["epoch"] or 0) + 1, row[key]) for row in history if row.get(key) is not None]
        if points:
            accuracy.plot(*zip(*points, strict=True), color=colour, label=key, marker="." if len(points) < 15 else None)
    accuracy.set(xlabel="epochs", ylabel=f"{images} accuracy (%)", ylim=(0, 100))
    if accuracy.lines:
        accuracy.legend(fontsize=8)
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path)


def draw_reliability(path: Path, title: str, calibration: Calibration) -> None:
    """Plot the reliability diagram (Guo et al., 2017, Fig. 1) and the share of images in each bin.

    Args:
        path: PNG file to write.
        title: heading.
        calibration: confidence and accuracy per bin.
    """
    bins, images = len(calibration.counts), sum(calibration.counts)
    figure = Figure(figsize=(5, 6.2), layout="constrained")
    accuracy, share = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    width = 100 / bins
    places = [(m + 0.5) * width for m in range(bins)]
    filled = [m for m, count in enumerate(calibration.counts) if count]
    heights, confidences = ([means[m] for m in filled] for means in (calibration.accuracy, calibration.confidence))
    accuracy.bar([places[m] for m in filled], heights, width, color="#0072b2", ec="white", lw=0.5, label="accuracy")
    begins, ends = [m * width for m in filled], [(m + 1) * width for m in filled]
    accuracy.hlines(confidences, begins, ends, color="#d55e00", lw=2.5, label="mean confidence")
    accuracy.plot([0, 100], [0, 100], color="black", lw=1, ls="--", label="perfect calibration")
    accuracy.set(xlim=(0, 100), ylim=(0, 100), ylabel="accuracy (%)")
    accuracy.legend(fontsize=8, loc="upper left")
    share.bar(
        places, [100 * count / images for count in calibration.counts], width, color="#a8a8a8", ec="white", lw=0.5
    )
    share.set(ylim=(0, 100), xlabel=f"confidence (%), {bins} bins", ylabel="test images (%)")
    accuracy.set_title(f"{title}\nexpected calibration error {calibration.ece:.1f} %", fontsize=10)
    save_figure(figure, path)


def draw_confusion(
    path: Path,
    title: str,
    matrix: Tensor,
    class_counts: Sequence[int],
    class_names: Sequence[str] | None = None,
) -> None:
    """Plot the row-normalised confusion matrix, classes sorted from the most to the fewest training images.

    Args:
        path: PNG file to write.
        title: heading.
        matrix: (C, C) counts; rows are labels, columns are predicted classes.
        class_counts: (C,) training images of each class.
        class_names: C names, shown of up to 40 classes; None, and of more classes, for some indices.
    """
    order = list(classes_by_count(class_counts))
    rows = matrix[order][:, order].double()
    share = 100 * rows / rows.sum(dim=1, keepdim=True).clamp(min=1)
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    if class_names is not None and len(order) <= _MOST_NAMES:
        labels = [_short(class_names[j], j) for j in order]
        axes.set_xticks(range(len(order)), labels, rotation=90, fontsize=7, parse_math=False)
        axes.set_yticks(range(len(order)), labels, fontsize=7, parse_math=False)
    else:
        ticks = range(0, len(order), -(-len(order) // 20))
        axes.set_xticks(ticks, [str(order[place]) for place in ticks], fontsize=8)
        axes.set_yticks(ticks, [str(order[place]) for place in ticks], fontsize=8)
    axes.set_xlabel("predicted class, from the most training images to the fewest")
    axes.set_ylabel("label, in the same order")
    figure.colorbar(shown, label="share of the label's images (%)")
    axes.set_title(title, fontsize=10)
    save_figure(figure, path)


def _short(name: str, index: int) -> str:
    """Shorten a class name for an axis; the index of the class where the font lacks a letter of its name."""
    text = printable(name)
    known = get_font(findfont(FontProperties())).get_charmap()
    if any(ord(letter) not in known for letter in text):
        return f"class {index}"
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."


def shade_groups(axes: Axes, groups: Mapping[str, Sequence[int]], order: Sequence[int]) -> dict[str, Span]:
    """Shade the groups on an axis of classes.

    Args:
        axes: the class `order[k]` is at x = k.
        groups: `head`, `mid`, `tail` to the classes in it.
        order: the C classes, from the most to the fewest training images.

    Returns:
        Where each group is, and its colour; without empty groups.
    """
    rank = {j: position for position, j in enumerate(order)}
    spans = {}
    for name, classes in groups.items():
        if classes:
            places = [rank[j] for j in classes]
            spans[name] = span = Span(min(places) - 0.5, max(places) + 0.5, COLOURS[name])
            axes.axvspan(span.begin, span.end, color=span.colour, alpha=0.18, lw=0)
    return spans


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG without pyplot, which would need global state and possibly a display."""
    FigureCanvasAgg(figure)
    with atomic_write(path) as fresh:
        figure.savefig(fresh, format="png", dpi=120, metadata={"Software": None})
