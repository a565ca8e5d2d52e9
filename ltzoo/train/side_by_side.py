"""Trains one run or several: side by side on a CUDA device, where their kernels overlap; one by one on a CPU."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import torch

from ltzoo.errors import InputError
from ltzoo.evaluate import tf32
from ltzoo.recipes import Recipe
from ltzoo.train.checkpoints import check_saved_epochs
from ltzoo.train.interrupts import Interrupts
from ltzoo.train.options import TrainOptions
from ltzoo.train.processes import join_processes
from ltzoo.train.run import Run
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.val_interval import check_val_interval


def train(recipe: Recipe, options: TrainOptions) -> RunFolder:
    """Train a recipe, or resume its training.

    Args:
        recipe: the recipe to train.
        options: data, output and seed.

    Returns:
        The run folder of the finished run.

    Raises:
        InputError: data, folder, model or device cannot be used, or training diverged; the last good state is kept.
    """
    return train_all([(recipe, options)])[0]


def train_all(
    jobs: Sequence[tuple[Recipe, TrainOptions]], report: Callable[[Recipe, RunFolder], None] | None = None
) -> list[RunFolder]:
    """Train several recipes or seeds; each run gives the same result as if it were trained alone.

    A run that fails does not stop the others. For runs side by side, `seconds` in `summary.csv` includes the turns of
    the others.

    Args:
        jobs: recipes with their options; each has its own run folder, and all have the same precision.
        report: called with recipe and run folder as soon as a run is finished.

    Returns:
        The run folders of the finished runs, in the order of the jobs.

    Raises:
        InputError: two jobs share a run folder or differ in precision, `save_epochs` names an epoch that a recipe does
            not have, `val_interval` one that the only recipe does not have, trackers are used for runs side by side,
            or runs failed, see `Run.train`.
        Interrupted: SIGINT or SIGTERM was received; each run has saved its last step.
    """
    folders = [options.output / recipe.name / f"seed{options.seed}" for recipe, options in jobs]
    if len(set(folders)) < len(folders):
        raise InputError(f"two runs would share a folder: {', '.join(map(str, folders))}; name each once")
    precisions = {recipe.precision for recipe, _ in jobs}
    if len(precisions) > 1:
        raise InputError(
            f"the runs of one command must have the same precision, not {', '.join(sorted(precisions))}; "
            "train each precision in its own command"
        )
    for recipe, options in jobs:
        check_saved_epochs(options.save_epochs, recipe)
        check_val_interval(options.val_interval, [recipe for recipe, _ in jobs])
        first = getattr(recipe.start, "recipe", None)
        if (first, options.seed) in {(other.name, others.seed) for other, others in jobs}:
            raise InputError(f"{recipe.name} begins with {first}; train {first} first, in a command before this one")
    # A run's files say the same, whichever recipes are trained beside it.
    intervals = [options.val_interval.within(recipe.schedule.epochs) for recipe, options in jobs]
    jobs = [
        (recipe, replace(options, val_interval=interval))
        for (recipe, options), interval in zip(jobs, intervals, strict=True)
    ]
    state = join_processes()
    queues = _queues(len(jobs), state.device)
    if queues and any(options.trackers for _, options in jobs):
        raise InputError("trackers log one run at a time; leave --log-with out, or train one run per command")
    turns = len(jobs) if queues else 1
    interrupts = Interrupts()
    runs = [Run(recipe, options, turns, len(jobs) == 1, interrupts).train() for recipe, options in jobs]
    finished: dict[int, RunFolder] = {}
    failed: list[InputError] = []
    waiting = list(range(len(runs)))
    try:
        with interrupts, tf32("tf32" in precisions):
            while waiting:
                for k in waiting[:] if queues else waiting[:1]:
                    try:
                        with queues[k]() if queues else nullcontext():
                            next(runs[k])
                    except StopIteration as done:
                        finished[k] = done.value
                        waiting.remove(k)
                        if report is not None:
                            report(jobs[k][0], finished[k])
                    except InputError as error:
                        # Other processes may wait for this one, so it must not continue with the next run.
                        if len(jobs) == 1 or state.num_processes > 1:
                            raise
                        failed.append(error)
                        waiting.remove(k)
    finally:
        for run in runs:
            run.close()
    if failed:
        raise InputError("; ".join(dict.fromkeys(map(str, failed)))) from failed[0]
    return [finished[k] for k in range(len(runs))]


def _queues(count: int, device: torch.device) -> list[Callable[[], AbstractContextManager]]:
    """Make a CUDA stream for each run, so that their kernels overlap; none if runs are trained one after the other."""
    if count == 1 or device.type != "cuda":
        return []
    return [partial(torch.cuda.stream, torch.cuda.Stream()) for _ in range(count)]
