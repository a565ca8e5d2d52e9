"""Train the missing runs of the zoo, most important first, several at once, within a time budget.

`python hub/build.py [PATTERN ...] [--seeds 0 1 2] [--time-budget MINUTES] [--data-dir DIR]`. Runs are resumable: the
same command continues where the last one stopped. `--pack DIR` writes the images that a machine without the data needs.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast, get_args, get_type_hints

import torch

from collect import add_zoo_options, collect, read_run
from interrupts import interrupts, stop
from ltzoo.cli import parser as options
from ltzoo.cli.parser import Parser, run
from ltzoo.data import Subset
from ltzoo.data.memory import load_subset, pack
from ltzoo.errors import InputError
from ltzoo.recipes import FirstStage, Recipe
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import has_result, read_results
from ltzoo.train import RunFolder, ValInterval
from ltzoo.train.checkpoints import check_saved_epochs
from ltzoo.train.device import cores
from ltzoo.train.val_interval import check_val_interval
from training_order import Job, first_stage_to_train, in_order, with_first_stages, without_repetitions

_PRECISIONS = get_args(get_type_hints(Recipe)["precision"])
_CLOSING = 20.0
"""Seconds before the end of the budget at which runs are stopped; an unfinished epoch is lost."""


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="build.py", description="Train the missing runs of the zoo, most important first.")
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN", help="recipes, as wildcards (all)")
    parser.add_argument(
        "--seeds", type=options.seed, nargs="+", default=[0, 1, 2], metavar="N", help="in this order (0 1 2)"
    )
    parser.add_argument(
        "--time-budget", type=_minutes, metavar="MINUTES", help="stop by then and continue later (no limit)"
    )
    parser.add_argument(
        "--jobs",
        type=options.at_least_one,
        metavar="N",
        help="runs at once: processes on CPUs (one per core), side by side in one process on CUDA (4)",
    )
    parser.add_argument(
        "--threads", type=options.at_least_one, default=1, metavar="N", help="CPU threads per run (%(default)s)"
    )
    parser.add_argument("--precision", choices=_PRECISIONS, help="of all runs (each recipe's own)")
    options.add_data_options(parser)
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="holds the runs (output)")
    options.add_save_epochs(parser)
    options.add_val_interval(parser)
    parser.add_argument("--pack", type=Path, metavar="DIR", help="only write the images that these runs need")
    parser.add_argument(
        "--hold-out",
        type=options.at_least_one,
        metavar="N",
        help="also pack N held-out images per class, for hub/choose.py",
    )
    add_zoo_options(parser)
    return parser


@dataclass
class _Worker:
    """A process that trains runs.

    Attributes:
        process: `python -m ltzoo train`.
        jobs: the runs that it trains.
        log: its output, after that of earlier workers.
        begins: offset of its own output in the log.
    """

    process: subprocess.Popen
    jobs: list[Job]
    log: Path
    begins: int


def command(arguments: argparse.Namespace) -> int:
    """Train or pack; return 1 if a run failed."""
    if arguments.hold_out and not arguments.pack:
        raise InputError("--hold-out belongs to --pack; hub/choose.py trains with held-out images")
    recipes = [get_recipe(name) for pattern in arguments.patterns for name in _matching(pattern)]
    finished = {(result.model, result.seed) for result in read_results(arguments.results)}
    seeds = list(dict.fromkeys(arguments.seeds))
    jobs = [job for job in in_order(dict.fromkeys(recipes), seeds) if (job[0].name, job[1]) not in finished]
    if arguments.pack:
        _pack([recipe for recipe, _ in jobs], arguments)
        return 0
    jobs = without_repetitions(jobs, arguments.output, partial(print, flush=True))
    missing = len(jobs)
    jobs = with_first_stages(jobs, arguments.output)
    check_val_interval(ValInterval.parse(arguments.val_interval), recipes)
    for recipe, _ in jobs:
        check_saved_epochs(arguments.save_epochs, recipe)
    more = f", and {len(jobs) - missing} first stages for them" if len(jobs) > missing else ""
    print(f"{missing} runs are missing{more}", flush=True)
    for recipe in {recipe.data.data_set.name: recipe for recipe, _ in jobs if not recipe.natural}.values():
        _subset(recipe, arguments)  # missing data fail here once, not in every run
    with interrupts():
        return _Build(arguments, jobs, finished).work() if jobs else 0


def _matching(pattern: str) -> list[str]:
    if not set(pattern) & set("*?["):
        recipe = get_recipe(pattern)  # an unknown name raises and suggests the nearest
        if recipe.benchmark == "imagefolder":
            raise InputError(f"{pattern} is for your own images, which are not part of the zoo; use train.py")
        return [recipe.name]
    # Few machines have the image files of these benchmarks: their recipes must be named in full.
    names = [name for name in list_recipes(pattern) if not get_recipe(name).natural]
    if not names:
        raise InputError(f"no recipe matches {pattern!r}; ltzoo list shows all")
    return names


def _subset(recipe: Recipe, arguments: argparse.Namespace) -> Subset:
    return load_subset(recipe.data, recipe.subset, arguments.data_dir, arguments.download)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"must be minutes above 0, not {text!r}")
    return minutes


def _pack(recipes: list[Recipe], arguments: argparse.Namespace) -> None:
    """Write the images of the recipes' benchmarks: the training subsets and the test set."""
    wanted: dict[str, dict[tuple[str, str], Recipe]] = {}
    for recipe in recipes:
        if recipe.natural:
            raise InputError(f"the images of {recipe.benchmark} are too many to pack; copy its folder")
        if recipe.data.data_set.name != "digits":  # comes with scikit-learn
            wanted.setdefault(recipe.data.data_set.name, {})[recipe.benchmark, recipe.subset] = recipe
    if not wanted:
        raise InputError("no missing run needs images; give other recipes or seeds")
    subsets = {
        data_set: [_subset(recipe, arguments) for recipe in of_subset.values()]
        for data_set, of_subset in wanted.items()
    }
    existing = [str(arguments.pack / data_set) for data_set in wanted if (arguments.pack / data_set).exists()]
    if existing:
        raise InputError(f"{', '.join(existing)} exists; remove it, or pack into another folder")
    for data_set, of_subset in wanted.items():
        size = pack(data_set, subsets[data_set], arguments.data_dir, arguments.pack, arguments.hold_out)
        needed = ", ".join(sorted({benchmark for benchmark, _ in of_subset}))
        print(f"{arguments.pack / data_set}: {size / 2**20:.1f} MiB, for {needed}", flush=True)


class _Build:
    """Trains jobs in order, several at once, until they are done or the time is up.

    Args:
        arguments: the arguments of the command.
        jobs: the missing runs, and first stages whose weights are missing.
        collected: names and seeds that have a result.
    """

    def __init__(self, arguments: argparse.Namespace, jobs: list[Job], collected: Set[tuple[str, int | None]]) -> None:
        cuda = torch.cuda.is_available()
        at_once = arguments.jobs or (4 if cuda else cores())
        self.arguments, self.waiting, self.collected, self.wanted = arguments, list(jobs), collected, tuple(jobs)
        # In one process, kernels of several runs overlap; separate processes would take turns on the device.
        self.workers: int = 1 if cuda else at_once
        self.runs_each: int = at_once if cuda else 1
        budget = arguments.time_budget
        self.end = None if budget is None else time.monotonic() + 60 * budget
        self.finished = self.failed = 0

    def work(self) -> int:
        """Train all jobs; return the exit code."""
        self.collect_finished()
        running: list[_Worker] = []
        before = {self.folder(job).path: self.epochs(job) for job in self.waiting}
        try:
            while (self.waiting or running) and not self.is_over():
                while len(running) < self.workers and self.ready():
                    running.append(self.start())
                if not running:
                    self.fail_waiting()
                time.sleep(0.2)
                for worker in [worker for worker in running if worker.process.poll() is not None]:
                    running.remove(worker)
                    self.close(worker)
        finally:
            stopped = list(running)
            stop([worker.process for worker in stopped])
            for worker in stopped:
                self.close(worker, stopped=True)
            print(f"{self.finished} runs finished, {self.failed} failed, {len(self.waiting)} not begun", flush=True)
        untouched = all(self.epochs(job) == before[self.folder(job).path] for w in stopped for job in w.jobs)
        if stopped and untouched and not self.finished:
            raise InputError(
                f"the budget of {self.arguments.time_budget:g} minutes is too small for one epoch of "
                f"{stopped[0].jobs[0][0].name}; give more"
            )
        return int(self.failed > 0)

    def collect_finished(self) -> None:
        """Collect runs that a killed build or train.py finished earlier."""
        for job in [job for job in self.waiting if self.folder(job).metrics.exists()]:
            self.waiting.remove(job)
            self.collect(job)

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return self.end is not None and time.monotonic() > self.end - min(_CLOSING, 6 * self.arguments.time_budget)

    def folder(self, job: Job) -> RunFolder:
        """Return the run folder of a job."""
        recipe, seed = job
        return RunFolder(self.arguments.output / recipe.name / f"seed{seed}")

    def epochs(self, job: Job) -> int:
        """Count the finished epochs of a job."""
        try:
            return len(self.folder(job).read_history(job[0].schedule.epochs))
        except InputError:  # the run itself will report it
            return 0

    def ready(self) -> list[Job]:
        """List the waiting jobs that can begin: second stages wait for their first."""
        return [job for job in self.waiting if first_stage_to_train(job, self.arguments.output, self.wanted) is None]

    def fail_waiting(self) -> None:
        """Fail the second stages whose first stage was not trained."""
        for recipe, seed in self.waiting:
            self.fail((recipe, seed), f"its first stage, {cast(FirstStage, recipe.start).recipe}, was not trained")
        self.waiting = []

    def start(self) -> _Worker:
        """Start the first jobs of the queue that one command can train: same seed and precision."""
        ready = self.ready()
        first, seed = ready[0]
        alike = [job for job in ready if (job[0].precision, job[1]) == (first.precision, seed)]
        jobs = alike[: self.runs_each]
        self.waiting = [job for job in self.waiting if job not in jobs]
        names = [recipe.name for recipe, _ in jobs]
        log = self.arguments.output / "logs" / f"{names[0]}.seed{seed}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", "ltzoo", "train", "--resume", "--recipe", *names, "--seed", str(seed)]
        line += ["--data-dir", str(self.arguments.data_dir), "--output", str(self.arguments.output)]
        line += ["--threads", str(self.arguments.threads)]
        # A recipe that is trained alone must reach every change.
        epochs = max(recipe.schedule.epochs for recipe, _ in jobs)
        line += ["--val-interval", str(ValInterval.parse(self.arguments.val_interval).within(epochs))]
        if self.arguments.save_epochs:
            line += ["--save-epochs", ",".join(map(str, self.arguments.save_epochs))]
        line += [word for module in self.arguments.modules for word in ("--import", module)]
        line += ["--set", f"precision={self.arguments.precision}"] if self.arguments.precision else []
        with log.open("a", encoding="utf-8") as file:
            # In its own session, so that only this process sends it an interrupt.
            process = subprocess.Popen(line, stdout=file, stderr=file, start_new_session=True)
            worker = _Worker(process, jobs, log, file.tell())
        print(f"begun: {', '.join(names)}, seed {seed} (log: {log})", flush=True)
        return worker

    def close(self, worker: _Worker, stopped: bool = False) -> None:
        """Collect the runs that a worker finished, and report the others."""
        code = worker.process.returncode
        for job in worker.jobs:
            recipe, seed = job
            folder = self.folder(job)
            # The command can fail although one of its runs is finished.
            if folder.metrics.exists() and (code == 0 or len(worker.jobs) > 1 or stopped):
                self.collect(job)
            elif stopped:
                kept, epochs = self.epochs(job), recipe.schedule.epochs
                print(f"stopped: {recipe.name}, seed {seed}: {kept} of {epochs} epochs are kept in {folder.path}")
            else:
                said = worker.log.read_bytes()[worker.begins :].decode("utf-8", "replace").split("\n")
                last = next((text for text in reversed(said) if text), "it printed nothing")
                self.fail(job, f"killed by {signal.Signals(-code).name}" if code < 0 else last)

    def fail(self, job: Job, why: str) -> None:
        """Count a failure and print the reason."""
        self.failed += 1
        print(f"failed: {job[0].name}, seed {job[1]}: {why}", flush=True)

    def collect(self, job: Job) -> None:
        """Collect a finished run, with the recipe's other collected runs: one of them may be the median."""
        own = self.folder(job).path
        if (job[0].name, job[1]) in self.collected:
            self.finished += 1
            print(f"finished: {job[0].name}, seed {job[1]}, the first stage of another run", flush=True)
            return
        try:
            others = [path for path in sorted(own.parent.glob("seed*")) if path != own and self.is_collected(path)]
            (line,) = collect([own, *others], self.arguments.zoo, self.arguments.results)
        except InputError as error:
            self.fail(job, str(error))
            return
        self.finished += 1
        print(f"finished: {job[0].name}, seed {job[1]}; {line}", flush=True)

    def is_collected(self, run_folder: Path) -> bool:
        """Return whether a run is collected already."""
        try:
            return has_result(self.arguments.results, read_run(run_folder))
        except InputError:  # unfinished, or different from the result
            return False


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
