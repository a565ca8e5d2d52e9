"""Analyses as stored in `landscape.json`, and their plots as figures, not written to files."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ltzoo.landscape import bar_plots, plots
from ltzoo.landscape.plots import plots_of

FAMILY = "resnet20_digitslt_ce_drw"
COUNTS = [40, 25, 16, 10, 6, 9]  # class 5 has more images than class 4
GROUPS = {"head": [0, 1], "mid": [2, 3], "tail": [5, 4]}
EACH = [str(j) for j in range(6)]
WIDE = ["all", *GROUPS]
RADII = {"sgd": {"name": "sgd"}, "sam": {"name": "sam", "rho": 0.05}, "sam10": {"name": "sam", "rho": 0.1}}


def document(rows, **changes):
    """An analysis, as it is read back."""
    document = {
        "benchmark": "digitslt",
        "class_counts": COUNTS,
        "groups": {"rule": "count", "classes": GROUPS},
        "settings": {"loss": "ce", "augment": False},
        "spectra": rows,
    }
    return json.loads(json.dumps(document | changes))


def row(word="sgd", one="all", low=-0.5, high=10.0, *, family=FAMILY, seed=0, epoch=40, **changes):
    """The spectrum of a model and a set."""
    found = {
        "model": f"{family}_{word}.seed{seed}",
        "recipe": f"{family}_{word}",
        "perturbation": RADII.get(word, {"name": word, "rho": 0.05}),
        "seed": seed,
        "epoch": epoch,
        "epochs": 40,
        "set": one,
        "classes": [int(one)] if one.isdecimal() else GROUPS.get(one, list(range(6))),
        "images": 9,
        "loss": 0.1,
        "lambda_min": low,
        "lambda_max": high,
        "converged": True,
        "density": {"nodes": [[low, 0.0, high], [0.0]], "weights": [[0.001, 0.99, 0.009], [1.0]]},
    }
    return found | changes


def plane(loss):
    return {"lowest": [-1.0, 0.0, 1.0], "highest": [-0.5, 0.0, 0.5], "loss": loss}


def squares(**values):
    return {name: {"mean_square": value, "share": 0.1} for name, value in values.items()}


def compose(name, rows, **changes) -> Figure:
    """One of a document's plots."""
    found: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (plots, bar_plots):
            patch.setattr(module, "save_figure", lambda figure, path: found.append(figure))
        plots_of(document(rows, **changes))[name](Path(name))
    (figure,) = found
    return figure


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]
