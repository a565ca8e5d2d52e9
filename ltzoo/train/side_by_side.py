"""Trains one run or several: side by side on a CUDA device, where their kernels overlap; one by one on a CPU."""

import gc
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import torch

from ltzoo.errors import InputError, Interrupted, first_line
from ltzoo.evaluate import tf32
from ltzoo.recipes import Recipe
from ltzoo.train.checkpoints import check_saved_epochs
from ltzoo.train.cuda_graph import CaptureError
from ltzoo.train.device import choose_precision
from ltzoo.train.device_errors import as_input_error
from ltzoo.train.interrupts import Interrupts
from ltzoo.train.options import TrainOptions
from ltzoo.train.process_failure import fail_together
from ltzoo.train.processes import join_processes
from ltzoo.train.run import Run
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.run_resources import RunResources
from ltzoo.train.val_interval import check_val_interval

Job = tuple[Recipe, TrainOptions]
"""A recipe, and the options of its run."""


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
    jobs: Sequence[Job], report: Callable[[Recipe, RunFolder], None] | None = None, side_by_side: int | None = None
) -> list[RunFolder]:
    """Train several recipes or seeds; each run gives the same result as if it were trained alone.

    A run that fails, whatever it raises, ends alone; on a GPU the next one takes its place. Runs that take turns share
    the time in `summary.csv` equally.

    Args:
        jobs: recipes with their options; each has its own run folder, and all have the same precision.
        report: called with recipe and run folder as soon as a run is finished; an error of it is one of this run.
        side_by_side: how many runs are trained at a time on a GPU; None for all. On a CPU it is always one.

    Returns:
        The run folders of the finished runs, in the order of the jobs.

    Raises:
        CaptureError: the capture of a step failed, so that nothing more can be computed in this process. The run's
            folder says so: called with the same jobs and `resume` in another process, it goes on eagerly.
        InputError: two jobs share a run folder or differ in precision, `save_epochs` names an epoch that a recipe does
            not have, `val_interval` one that the only recipe does not have, trackers are used for runs side by side,
            or runs failed, see `Run.train`.
        Interrupted: SIGINT or SIGTERM was received; each run has saved its last step.
    """
    if not jobs:
        return []
    jobs = _checked(jobs)
    state = join_processes()
    several = state.device.type == "cuda" and len(jobs) > 1
    if several and any(options.trackers for _, options in jobs):
        raise InputError("trackers log one run at a time; leave --log-with out, or train one run per command")
    at_once = min(side_by_side or len(jobs), len(jobs)) if several else 1
    runs = _RoundRobin(jobs, state.device, at_once, state.num_processes, report)
    with fail_together(state, runs.abandon):
        return runs.train()


def _checked(jobs: Sequence[Job]) -> list[Job]:
    """Check that runs can be trained by one command; returns them with their own precision and evaluations."""
    folders = [options.output / recipe.name / f"seed{options.seed}" for recipe, options in jobs]
    if len(set(folders)) < len(folders):
        raise InputError(f"two runs would share a folder: {', '.join(map(str, folders))}; name each once")
    jobs = [(replace(recipe, precision=choose_precision(recipe.precision)), options) for recipe, options in jobs]
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
    return [
        (recipe, replace(options, val_interval=interval))
        for (recipe, options), interval in zip(jobs, intervals, strict=True)
    ]


class _SharedClock:
    """The time of a device for each of the runs that share it: n runs have 1 / n of it each.

    Their own turns cannot be timed: they only launch kernels, and the run that waits first waits for those of all.
    """

    def __init__(self) -> None:
        self.seconds, self.read, self.runs = 0.0, time.perf_counter(), 1

    def __call__(self) -> float:
        """Return the seconds of a run that has been there from the beginning."""
        now = time.perf_counter()
        self.seconds += (now - self.read) / self.runs
        self.read = now
        return self.seconds

    def share(self, runs: int) -> None:
        """Divide the time from now on by another number of runs."""
        self()
        self.runs = max(runs, 1)


class _RoundRobin:
    """Trains several runs at once, a step of each in turn; when one ends, the next waiting run begins.

    Args:
        jobs: see `train_all`.
        device: the device of all runs.
        at_once: number of runs that are trained at once.
        processes: number of processes that train each run together.
        report: see `train_all`.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        device: torch.device,
        at_once: int,
        processes: int,
        report: Callable[[Recipe, RunFolder], None] | None,
    ) -> None:
        self.jobs, self.device, self.at_once, self.processes, self.report = jobs, device, at_once, processes, report
        self.interrupts, self.clock = Interrupts(), _SharedClock()
        self.waiting = list(range(len(jobs)))
        self.running: dict[int, tuple[RunResources, Run, Generator[None, None, RunFolder]]] = {}
        self.finished: dict[int, RunFolder] = {}
        self.failed: list[str] = []

    def train(self) -> list[RunFolder]:
        """Train all runs; returns their folders, or raises what failed."""
        with self.interrupts, tf32(self.jobs[0][0].precision == "tf32"):
            try:
                while self.waiting or self.running:
                    while self.waiting and len(self.running) < self.at_once:
                        self._begin(self.waiting.pop(0))
                    for k in list(self.running):
                        self._step(k)
            except CaptureError:
                self.interrupts.at_once = True  # nothing that this process computes can be trusted
                self._close()
                raise
            except BaseException as error:
                if failed := self._close():
                    raise failed[0] from error
                raise
        if self.failed:
            raise InputError("; ".join(dict.fromkeys(self.failed)))
        return [self.finished[k] for k in range(len(self.jobs))]

    def _close(self) -> list[BaseException]:
        """End all runs within their epochs; those that were asked to stop save their steps. Returns what they raise."""
        failed: list[BaseException] = []
        with self.interrupts.deferred():
            for resources, _, steps in self.running.values():
                try:
                    with resources.in_use():  # the saved random states are the run's own
                        steps.close()
                except BaseException as error:  # the others must be closed nevertheless
                    failed.append(error)
        return failed

    def abandon(self) -> None:
        """Remove the folders of runs that have saved nothing; see `fail_together`."""
        for _, run, _ in list(self.running.values()):
            run.abandon()

    def _begin(self, k: int) -> None:
        recipe, options = self.jobs[k]
        resources = RunResources(self.device)
        alone = len(self.jobs) == 1
        run = Run(recipe, options, resources, self.at_once, alone, self.interrupts, self.clock)
        self.running[k] = resources, run, run.train()
        self.clock.share(len(self.running))

    def _step(self, k: int) -> None:
        """Take a step of a run; what it raises, or the report of it, ends this run alone."""
        if self.interrupts.number is not None and self.processes == 1:  # several agree on it after a step
            raise Interrupted(self.interrupts.number, agreed=True)
        resources, run, steps = self.running[k]
        out_of_memory = False
        try:
            with resources.in_use():
                next(steps)
            return
        except StopIteration as done:
            self.finished[k] = done.value
        except CaptureError:
            raise  # the others cannot go on in this process either
        except Exception as error:  # whatever a model, a loss or the device raises
            self.failed.append(self._why(k, error))
            out_of_memory = isinstance(error, torch.OutOfMemoryError)
        # Only now nobody holds the frames of the error, which hold the run's tensors.
        del self.running[k], resources, run, steps
        self.clock.share(len(self.running))
        gc.collect()
        if out_of_memory:
            torch.accelerator.empty_cache()
        if k in self.finished:
            self._report(k)

    def _report(self, k: int) -> None:
        """Report a finished run; an error counts as one of this run."""
        if self.report is None:
            return
        try:
            self.report(self.jobs[k][0], self.finished[k])
        except Exception as error:  # whatever a caller's function raises
            self.failed.append(self._why(k, error))

    def _why(self, k: int, error: Exception) -> str:
        """Return why a run ended; raises the error if no other run may go on."""
        recipe, options = self.jobs[k]
        name = f"{recipe.name}.seed{options.seed}"
        explained = as_input_error(error, name)
        # Other processes may wait for this one, so it must not continue with the next run.
        if len(self.jobs) == 1 or self.processes > 1:
            if explained is None or explained is error:
                raise error
            raise explained from error
        if explained is None:
            traceback.print_exception(error)
            return f"{name}: {type(error).__name__}: {first_line(error)}"
        return str(explained)
