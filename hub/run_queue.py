"""Train runs in order, several at once, until all are done or the time is up; `build.py` says which."""

import argparse
import sys
import time
from collections.abc import Set
from pathlib import Path
from typing import cast

from collect import collect, read_run
from interrupts import stop
from ltzoo.errors import InputError
from ltzoo.recipes import FirstStage
from ltzoo.report import has_result
from ltzoo.train import RunFolder, ValInterval
from ltzoo.train.device import cores
from machine_settings import MachineSettings
from time_left import progress_in_words, saved_progress
from training_order import Job, first_stage_to_train
from worker import Worker

_CLOSING = 20.0
"""Seconds before the end of the budget at which runs are stopped: each finishes its step and saves it."""
_STOPPING = 0.75
"""The part of these seconds after which a run that does not stop is killed; the rest is for collecting."""


class RunQueue:
    """Trains jobs in order, several at once, until they are done or the time is up.

    Args:
        arguments: the arguments of the command.
        machine: how many runs are trained at once, and how.
        jobs: the missing runs, and first stages whose weights are missing.
        collected: names and seeds that have a result.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        machine: MachineSettings,
        jobs: list[Job],
        collected: Set[tuple[str, int | None]],
    ) -> None:
        self.arguments, self.machine, self.collected, self.wanted = arguments, machine, collected, tuple(jobs)
        self.waiting, self.running = list(jobs), list[Worker]()
        # Runs that failed, to be tried once more with the machine to themselves; and those that were.
        self.to_retry, self.retried = list[Job](), set[Job]()
        budget = arguments.time_budget
        self.end = None if budget is None else time.monotonic() + 60 * budget
        self.closing = _CLOSING if budget is None else min(_CLOSING, 6 * budget)
        self.finished = self.failed = 0

    def work(self) -> int:
        """Train all jobs; return the exit code."""
        self._collect_finished()
        before = {self._folder(job).path: self._progress(job) for job in self.waiting}
        try:
            while (self.waiting or self.to_retry or self.running) and not self.is_over():
                self._start_workers()
                time.sleep(0.2)
                for worker in list(self.running):
                    ended = worker.process.poll() is not None
                    self._collect_of(worker, ended and worker.process.returncode == 0)
                    if ended:
                        self.running.remove(worker)
                        self._close(worker)
        finally:
            stopped, self.running = self.running, []
            stop([worker.process for worker in stopped], within=_STOPPING * self.closing)
            unfinished = [job for worker in stopped for job in worker.jobs]
            for worker in stopped:
                self._collect_of(worker, sound=True)
                self._close_stopped(worker)
            stopped_jobs, left = sum(len(worker.jobs) for worker in stopped), len(self.waiting) + len(self.to_retry)
            more = "; the same command continues" if stopped_jobs or left else ""
            counts = f"{self.finished} finished, {self.failed} failed, {stopped_jobs} stopped, {left} not started"
            print(f"runs: {counts}{more}", flush=True)
        untouched = all(self._progress(job) == before[self._folder(job).path] for job in unfinished)
        if unfinished and untouched and not self.finished:
            raise InputError(
                f"the budget of {self.arguments.time_budget:g} minutes is too small to save a single step of "
                f"{unfinished[0][0].name}; give more"
            )
        return int(self.failed > 0)

    def _start_workers(self) -> None:
        """Start as many workers as may run at once; a run that is tried again has the machine to itself."""
        while len(self.running) < self.machine.workers and self._ready() and not any(w.alone for w in self.running):
            self.running.append(self.start(self._next_jobs()))
        if not self.running and self.to_retry:
            self.running.append(self.start([self.to_retry.pop(0)], alone=True))
        elif not self.running:
            self._fail_waiting()

    def _collect_finished(self) -> None:
        """Collect runs that a killed build or train.py finished earlier."""
        for job in [job for job in self.waiting if self._folder(job).metrics.exists()]:
            self.waiting.remove(job)
            self._collect(job)

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return self.end is not None and time.monotonic() > self.end - self.closing

    def _folder(self, job: Job) -> RunFolder:
        """Return the run folder of a job."""
        recipe, seed = job
        return RunFolder(self.arguments.output / recipe.name / f"seed{seed}")

    def _progress(self, job: Job) -> tuple[int, int]:
        """Return how many epochs of a job are saved, and how many steps of the next one."""
        return saved_progress(self._folder(job))

    def _ready(self) -> list[Job]:
        """List the waiting jobs that can begin: second stages wait for their first."""
        return [job for job in self.waiting if first_stage_to_train(job, self.arguments.output, self.wanted) is None]

    def _fail_waiting(self) -> None:
        """Fail the second stages whose first stage was not trained."""
        for recipe, seed in self.waiting:
            self._fail((recipe, seed), f"its first stage, {cast(FirstStage, recipe.start).recipe}, was not trained")
        self.waiting = []

    def _next_jobs(self) -> list[Job]:
        """Take the next job from the queue; on CUDA with all that one process can train beside and after it.

        These have the same seed and precision, as one command demands; the same architecture; and the same length,
        since the command has one `--val-interval`. `train_all` begins the next one when one ends.
        """
        ready = self._ready()
        alike = (
            [job for job in ready if self._kind(job) == self._kind(ready[0])] if self.machine.one_process else ready[:1]
        )
        self.waiting = [job for job in self.waiting if job not in alike]
        return alike

    def _kind(self, job: Job) -> tuple[object, ...]:
        """Return what jobs of one process have in common."""
        recipe, seed = job
        return seed, self.machine.precision or recipe.precision, recipe.architecture, recipe.schedule.epochs

    def start(self, jobs: list[Job], alone: bool = False) -> Worker:
        """Start a process that trains jobs."""
        names, seed = [recipe.name for recipe, _ in jobs], jobs[0][1]
        command = [sys.executable, "-m", "ltzoo", "train", "--resume", "--recipe", *names, "--seed", str(seed)]
        command += ["--data-dir", str(self.arguments.data_dir), "--output", str(self.arguments.output)]
        # The recipes of one process, which are equally long, must reach every change.
        epochs = jobs[0][0].schedule.epochs
        command += ["--val-interval", str(ValInterval.parse(self.arguments.val_interval).within(epochs))]
        if self.arguments.save_epochs:
            command += ["--save-epochs", ",".join(map(str, self.arguments.save_epochs))]
        command += ["--half"] if self.arguments.half else []
        command += [word for module in self.arguments.modules for word in ("--import", module)]
        resumed = [run for run in (self._folder(job).recorded() for job in jobs) if run]
        options = self.machine.options(resumed=bool(resumed))
        command += options
        log = self.arguments.output / "logs" / f"{names[0]}.seed{seed}.log"
        worker = Worker.start(command, jobs, log, alone)
        print(f"started: {', '.join(names)}, seed {seed} (log: {log})", flush=True)
        threads = max([run.get("threads") or 1 for run in resumed], default=1)
        if "--threads" not in options and threads * self.machine.workers > cores():
            print(
                f"{names[0]} continues with its {threads} threads; {self.machine.workers} runs share {cores()} cores, "
                "and threads that wait for each other are slow: add --jobs 1, or --threads 1",
                flush=True,
            )
        return worker

    def _collect_of(self, worker: Worker, sound: bool) -> None:
        """Collect the runs that a worker has finished; of several, each as soon as it is finished.

        Args:
            worker: the worker.
            sound: whether a finished run counts although it is the worker's only one: the command can fail after it.
        """
        for job in list(worker.jobs):
            if self._folder(job).metrics.exists() and (sound or worker.shared):
                worker.jobs.remove(job)
                self._collect(job)

    def _close(self, worker: Worker) -> None:
        """Report the runs that a worker has ended without; each is tried once more, alone."""
        crashed = worker.process.returncode != 2
        started = [job for job in worker.jobs if worker.has_started(self._folder(job).path)] or worker.jobs[:1]
        # What had not started when another run ended the process is as it was.
        untouched = [job for job in worker.jobs if job not in started] if crashed else []
        self.waiting = untouched + self.waiting
        for job in [job for job in worker.jobs if job not in untouched]:
            if job in self.retried or not (crashed or worker.shared):
                self._fail(job, worker.failure_reason(job))
            else:
                self.retried.add(job)
                self.to_retry.append(job)
                print(f"retrying alone: {job[0].name}, seed {job[1]}: {worker.failure_reason(job)}", flush=True)

    def _close_stopped(self, worker: Worker) -> None:
        """Report what is kept of the runs that were stopped."""
        for recipe, seed in list(worker.jobs):
            path = self._folder((recipe, seed)).path
            if worker.shared and not worker.has_started(path):
                worker.jobs.remove((recipe, seed))
                self.waiting.append((recipe, seed))
                continue
            kept = f"{progress_in_words(recipe, self._progress((recipe, seed)))} are kept in {path}"
            there = kept if path.exists() else "it has not started"
            print(f"stopped: {recipe.name}, seed {seed}: {there}", flush=True)

    def _fail(self, job: Job, why: str) -> None:
        """Count a failure and print the reason."""
        self.failed += 1
        print(f"failed: {job[0].name}, seed {job[1]}: {why}", flush=True)

    def _collect(self, job: Job) -> None:
        """Collect a finished run, with the recipe's other collected runs: one of them may be the median."""
        own = self._folder(job).path
        if (job[0].name, job[1]) in self.collected:
            self.finished += 1
            print(f"finished: {job[0].name}, seed {job[1]}, the first stage of another run", flush=True)
            return
        try:
            others = [path for path in sorted(own.parent.glob("seed*")) if path != own and self._is_collected(path)]
            (line,) = collect([own, *others], self.arguments.zoo, self.arguments.results)
        except InputError as error:
            self._fail(job, str(error))
            return
        self.finished += 1
        print(f"finished: {job[0].name}, seed {job[1]}; {line}", flush=True)

    def _is_collected(self, run_folder: Path) -> bool:
        """Return whether a run is collected already."""
        try:
            return has_result(self.arguments.results, read_run(run_folder))
        except InputError:  # unfinished, or different from the result
            return False
