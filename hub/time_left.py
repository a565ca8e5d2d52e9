"""How far the runs of a build are, and how long the rest takes by the epochs that were measured."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from ltzoo.cli.run_time import in_words
from ltzoo.errors import InputError, counted
from ltzoo.recipes import Recipe
from ltzoo.recipes.cost import passes_per_image
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.train import RunFolder
from ltzoo.train.state import read_progress
from training_order import Job

_Kind = tuple[str, str]
"""Architecture and benchmark: their epochs cost the same time per forward pass."""


def time_left(jobs: Sequence[Job], output: Path, at_once: int) -> list[str]:
    """Describe the unfinished runs, and the time that all runs take.

    An unfinished run takes as long per epoch as it did so far. One that has not started takes the mean seconds per
    forward pass of the runs in `output` with its architecture and benchmark, times its passes.

    Args:
        jobs: the runs to train.
        output: holds run folders.
        at_once: how many are trained at once, each in a process of its own.

    Returns:
        One line for each unfinished run, and one for the time of all; none if there are no jobs.
    """
    paces = _paces(output)
    lines, unknown, times = list[str](), list[Recipe](), list[float]()
    for recipe, seed in jobs:
        folder = RunFolder(output / recipe.name / f"seed{seed}")
        measured, progress = _epoch_seconds(recipe, folder), saved_progress(folder)
        epochs, pace, passes = recipe.schedule.epochs, paces.get(_kind(recipe)), passes_per_image(recipe)
        if measured:
            times.append((epochs - len(measured)) * fmean(measured))
        elif pace and passes is not None:
            times.append(pace * passes * epochs)
        elif epochs:
            unknown.append(recipe)
        if measured or any(progress):
            left = f", {in_words(times[-1])} left ({fmean(measured):.1f} s per epoch)" if measured else ""
            lines.append(f"unfinished: {recipe.name}, seed {seed}: {progress_in_words(recipe, progress)}{left}")
    if times:
        # The longest run ends last, however many others are trained beside it.
        seconds = max(sum(times) / at_once, *times)
        beside = f", {at_once} at once" if at_once > 1 else ""
        lines.append(f"time left by measured epochs: {in_words(seconds)} for {counted(len(times), 'run')}{beside}")
    if unknown:
        networks = dict.fromkeys(f"{recipe.architecture} on {recipe.benchmark}" for recipe in unknown)
        there = f"no epoch measured in {output} of {', '.join(networks)}"
        lines.append(f"time unknown for {counted(len(unknown), 'run')}: {there}")
    return lines


def _paces(output: Path) -> dict[_Kind, float]:
    """Return the mean seconds per forward pass of an epoch, of each architecture and benchmark in `output`."""
    known = set(list_recipes())
    measured: dict[_Kind, list[float]] = {}
    for folder in sorted(output.glob("*/seed*")):
        if folder.parent.name not in known:
            continue
        recipe = get_recipe(folder.parent.name)
        passes = passes_per_image(recipe)
        if passes is not None:
            seconds = [value / passes for value in _epoch_seconds(recipe, RunFolder(folder))]
            measured.setdefault(_kind(recipe), []).extend(seconds)
    return {kind: fmean(values) for kind, values in measured.items() if values}


def saved_progress(folder: RunFolder) -> tuple[int, int]:
    """Return how many epochs of a run are saved, and how many steps of the next one; none if its state is damaged."""
    try:
        return read_progress(folder.last_state) if folder.last_state.exists() else (0, 0)
    except InputError:  # the run itself will report it
        return 0, 0


def progress_in_words(recipe: Recipe, progress: tuple[int, int]) -> str:
    """Say how far a run is saved: `54 of 200 epochs and 74 steps`."""
    epochs, steps = progress
    return f"{epochs} of {recipe.schedule.epochs} epochs" + (f" and {counted(steps, 'step')}" if steps else "")


def _epoch_seconds(recipe: Recipe, folder: RunFolder) -> list[float]:
    """Return the seconds of each finished epoch, with its evaluation."""
    try:
        rows: Iterable = folder.read_history(recipe.schedule.epochs)
    except InputError:  # the run itself will report it
        return []
    return [row["seconds"] + (row["eval_seconds"] or 0.0) for row in rows if row["seconds"] is not None]


def _kind(recipe: Recipe) -> _Kind:
    return recipe.architecture, recipe.benchmark
