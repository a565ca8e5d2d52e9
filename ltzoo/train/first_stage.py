"""Finds the checkpoint of the first stage that a second stage begins with, and says why one cannot be taken."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltzoo import checkpoints
from ltzoo.checkpoints.find import search_path
from ltzoo.errors import InputError
from ltzoo.recipes import FirstStage, Recipe
from ltzoo.registry import get_recipe
from ltzoo.train.options import TrainOptions
from ltzoo.train.run_folder import RunFolder

_RECORDED = ("seed", "label_names", "subset_layout", "subset_sha256", "overrides")
"""What the `config.json` of a first stage must say."""


def find_first_stage(name: str, runs: Path, seed: int, any_seed: bool = True) -> Path | None:
    """Find the checkpoint of a first stage: its run with the same seed, else one in LTZOO_HUB or the package.

    Args:
        name: the recipe of the first stage.
        runs: holds run folders.
        seed: the seed of the second stage.
        any_seed: where there is neither a run nor such a checkpoint of that seed, take one of another seed.

    Returns:
        The checkpoint's folder; None if there is neither, or if the run is not finished.
    """
    run = _run(name, runs, seed)
    if run.metrics.exists():
        return run.checkpoint
    if run.path.exists():
        return None  # its seed was asked for: another checkpoint must not take its place silently
    # Only local folders: nothing is downloaded without being requested.
    places = [place for place in search_path() if isinstance(place, Path)]
    found = [folder for place in places for folder in (place / f"{name}.seed{seed}", place / name)]
    found = [folder for folder in found if (folder / checkpoints.CONFIG).is_file()]
    of_seed = [folder for folder in found if checkpoints.read_config(folder).get("seed") == seed]
    return next(iter(of_seed or (found if any_seed else [])), None)


def required_first_stage(recipe: Recipe, start: FirstStage, options: TrainOptions) -> tuple[Path, Mapping[str, Any]]:
    """Find the first stage that a recipe begins with, as a run's options ask for it.

    Args:
        recipe: the second stage.
        start: its start.
        options: `first_stages`, where it is given, must hold the run; else it is looked for in `output`, then in
            LTZOO_HUB and the package.

    Returns:
        The checkpoint's folder, and its `config.json`.

    Raises:
        InputError: there is none, or it is unfinished, incomplete, or of another recipe.
    """
    given, seed, name = options.first_stages, options.seed, start.recipe
    runs = given or options.output
    run, begins = _run(name, runs, seed), f"{recipe.name} begins with {name}"
    train_it = f"train it, with --recipe {name} --seed {seed} --output {runs}"
    if given is not None and not run.path.exists():
        missing = f"there is no folder {given}" if not given.exists() else f"there is no run of seed {seed} of it"
        raise InputError(
            f"{begins}, but {missing} (--first-stages; looked for {run.path}): {train_it}, or leave --first-stages out"
        )
    folder = find_first_stage(name, runs, seed)
    if folder is None and run.recipe.exists():
        raise InputError(f"{begins}, whose run in {run.path} is not finished; continue it with --resume, or remove it")
    if folder is None and run.path.exists():
        there = ", ".join(sorted(path.name for path in run.path.iterdir())[:3]) or "nothing"
        raise InputError(
            f"{begins}, but {run.path} is no whole run folder: it has {there}, and neither {run.recipe.name} nor "
            f"{run.metrics.name}; copy the whole run folder, or remove it and {train_it}"
        )
    if folder is None:
        raise InputError(
            f"{begins}, which has no finished run of seed {seed} in {runs} and no checkpoint in the package: train it "
            f"first, with --recipe {name} --seed {seed} --output {runs}"
        )
    config = checkpoints.read_config(folder)
    trained = (config.get(checkpoints.RECIPE) or {}).get("name")
    missing_keys = [key for key in _RECORDED if key not in config]
    if trained != name or missing_keys:
        found_there = f"was trained by {trained}" if trained else "names no recipe"
        raise InputError(
            f"{begins}, but the checkpoint in {folder} "
            f"{found_there if trained != name else 'lacks ' + missing_keys[0]}; remove it, or train the first stage"
        )
    if not (folder / checkpoints.WEIGHTS).is_file():
        raise InputError(
            f"{begins}, but {folder / checkpoints.WEIGHTS} is missing: train the first stage again, with "
            f"--recipe {name} --seed {seed} and another --output, and name that with --first-stages"
        )
    return folder, config


def _run(name: str, runs: Path, seed: int) -> RunFolder:
    return RunFolder(runs / get_recipe(name).name / f"seed{seed}")
