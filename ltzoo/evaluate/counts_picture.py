"""The picture of a data set: images of each class, from the most to the fewest."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from ltzoo.data import Groups
from ltzoo.evaluate.pictures import COLOURS, save_figure


def draw_class_counts(
    path: Path,
    title: str,
    train_counts: Sequence[int],
    test_counts: Sequence[int] | None,
    groups: Groups,
    test: str = "test",
) -> None:
    """Draw the class counts, sorted, on a logarithmic scale, the groups shaded.

    Args:
        path: PNG to write.
        title: heading.
        train_counts: (C,) training images of each class, at least 1.
        test_counts: (C,) test images of each class; None where there are none to draw.
        groups: the grouping to shade.
        test: what the test images are, in a word or two.
    """
    order = sorted(range(len(train_counts)), key=lambda j: -train_counts[j])
    rank = {j: position for position, j in enumerate(order)}
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    edges = [position - 0.5 for position in range(len(order) + 1)]
    most = max((*train_counts, *(test_counts or ())))
    # A class of one image is to be seen too. Above lies room for the groups' names.
    floor, top = 0.7, 0.7 * (most / 0.7) ** 1.22
    axes.stairs([train_counts[j] for j in order], edges, baseline=floor, fill=True, color="#a8a8a8", zorder=2)
    if test_counts is not None:
        # Nothing is drawn where there is none.
        heights = [test_counts[j] or math.nan for j in order]
        axes.stairs(heights, edges, baseline=None, color="black", lw=1, zorder=3)
    for name, classes in groups.classes.items():
        if not classes:
            continue
        places = sorted(rank[j] for j in classes)
        begin, end = places[0] - 0.5, places[-1] + 0.5
        images = sum(train_counts[j] for j in classes)
        axes.axvspan(begin, end, color=COLOURS[name], alpha=0.18, lw=0)
        text = f"{name}\n{len(classes):,} | {images:,}"
        axes.text(
            (begin + end) / 2, top / 1.1, text, color=COLOURS[name], ha="center", va="top", weight="bold", fontsize=9
        )
    ylabel = "training images" if test_counts is None else f"images: training (grey), {test} (line)"
    axes.set(yscale="log", ylim=(floor, top), xlim=(-0.5, len(order) - 0.5), ylabel=ylabel)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(
        f"classes, from the most training images to the fewest; groups by the rule {groups.rule}, classes | images"
    )
    # A folder's name may hold a dollar.
    axes.set_title(title, fontsize=10, parse_math=False)
    save_figure(figure, path)
