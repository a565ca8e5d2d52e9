"""What `ltzoo train` prints of a finished run."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ltzoo import checkpoints
from ltzoo.data import HOLD_OUT
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import Figures, accuracy_table
from ltzoo.reading.json_text import read_json
from ltzoo.recipes import Recipe
from ltzoo.train import RunFolder


def report(recipe: Recipe, folder: RunFolder) -> str:
    """Describe a finished run: its figures beside the published ones, and where its files are.

    Args:
        recipe: the recipe that was trained, with its overrides.
        folder: the run.

    Raises:
        InputError: its `metrics.json` is damaged.
    """
    try:
        return _described(recipe, folder, read_json(folder.metrics))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder.metrics} is damaged ({first_line(error)[:160]}); remove it, and continue the run with --resume"
        ) from error


def _described(recipe: Recipe, folder: RunFolder, metrics: Mapping[str, Any]) -> str:
    selected_on = "held-out images" if HOLD_OUT in metrics["overrides"] else "the test set"
    figures = {metrics["last"]["rule"]: metrics["last"]}
    if metrics["best"]:
        figures[f"best epoch on {selected_on} ({metrics['best']['epoch'] + 1})"] = metrics["best"]
    if metrics["paper"]:
        figures[f"the paper's rule (epoch {metrics['paper']['epoch'] + 1})"] = metrics["paper"]
    rows: dict[str, Mapping[str, float | None]]
    rows = {label: Figures.from_dict(document).headline for label, document in figures.items()}
    for figure in () if metrics["overrides"] else recipe.published:
        rows[f"published: {figure.paper}, {figure.table}, {figure.row}"] = asdict(figure.mean)
    changed = f"\noverridden: {', '.join(metrics['overrides'])}" if metrics["overrides"] else ""
    pictures = [folder.checkpoint / name for name in (checkpoints.CLASSES_PICTURE, checkpoints.CURVES_PICTURE)]
    pictures = [path for path in pictures if path.exists()]
    library = checkpoints.loading_library(recipe.architecture)
    return (
        f"\n{recipe.name}, seed {metrics['seed']}: accuracy in per cent, groups by the rule {recipe.groups}{changed}\n"
        f"{accuracy_table(rows)}\n"
        "head: many-shot classes, mid: medium-shot, tail: few-shot\n"
        f"pictures:   {'  '.join(map(str, pictures))}\n"
        f"checkpoint: {folder.checkpoint}\n"
        f"load it:    {library}.create_model('local-dir:{folder.checkpoint}', pretrained=True)"
    )
