"""A long run: are memory, open files and time per step the same at its end as at its beginning?

`python benchmarks/long_run.py [--steps 10000] [--json FILE]`. Trains a small network on the digits through the whole
trainer, with an evaluation, a log and a saved state each epoch and some checkpoints, and compares the last tenth of the
steps with the first: the mean and the median time of a step, the resident memory and the open files after each epoch.
The exit code is 1 if one of them has grown by more than 5 %. Other work on the machine moves the times.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ltzoo.evaluate import plots
from ltzoo.recipes import override
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions, train
from ltzoo.train.progress import Progress
from ltzoo.train.step import Step

_STEPS_PER_EPOCH = 20
_ALLOWED = 1.05


@dataclass(frozen=True)
class Part:
    """A part of the run.

    Attributes:
        mean_ms: mean processor time of a step, in milliseconds.
        median_ms: its median, which other work on the machine moves least.
        wall_ms: median time of a step by the clock.
        memory_mib: mean resident memory after an epoch.
        files: most open files after an epoch.
        threads: most threads after an epoch.
    """

    mean_ms: float
    median_ms: float
    wall_ms: float
    memory_mib: float
    files: int
    threads: int


def measure(steps: int, output: Path) -> tuple[Part, Part]:
    """Train for so many steps; returns the first and the last tenth."""
    epochs = steps // _STEPS_PER_EPOCH
    recipe = override(
        get_recipe("resnet20_digitslt_ce_sgd").with_epochs(epochs),
        {"architecture": "test_resnet", "batch_size": 22, "optimizer.lr": 0.001},
    )
    process, run, report = psutil.Process(), Step.run, Progress.epoch
    times: list[tuple[float, float]] = []
    after: list[tuple[float, int, int]] = []

    def timed(self: Step, *arguments):  # type: ignore[no-untyped-def]  # as Step.run
        began = time.process_time(), time.perf_counter()
        loss = run(self, *arguments)
        times.append((1e3 * (time.process_time() - began[0]), 1e3 * (time.perf_counter() - began[1])))
        return loss

    def measured(self: Progress, row: dict, rates: str = "") -> None:
        report(self, row, rates)
        after.append((process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()))

    Step.run, Progress.epoch = timed, measured  # type: ignore[method-assign, assignment]
    plots.save_figure = lambda figure, path: path.touch()
    saved = tuple(range(max(epochs // 10, 1), epochs + 1, max(epochs // 10, 1)))
    try:
        train(recipe, TrainOptions(Path("data"), output, threads=1, save_epochs=saved))
    finally:
        Step.run, Progress.epoch = run, report  # type: ignore[method-assign]
    assert len(times) == _STEPS_PER_EPOCH * epochs
    tenth = len(times) // 10, len(after) // 10
    # The first epochs fill the allocator and import what is imported late.
    first = _part(times[: tenth[0]], after[1 : 1 + tenth[1]])
    return first, _part(times[-tenth[0] :], after[-tenth[1] :])


def _part(times: list[tuple[float, float]], after: list[tuple[float, int, int]]) -> Part:
    processor, wall = zip(*times, strict=True)
    memory, files, threads = zip(*after, strict=True)
    return Part(
        statistics.mean(processor),
        statistics.median(processor),
        statistics.median(wall),
        statistics.mean(memory),
        max(files),
        max(threads),
    )


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Compare the end of a long run with its beginning.")
    parser.add_argument("--steps", type=int, default=10000, metavar="N", help="steps, at least 400 (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    arguments = parser.parse_args()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    with tempfile.TemporaryDirectory() as output:
        first, last = measure(arguments.steps, Path(output))
    print("| | first tenth | last tenth | ratio |\n| --- | --- | --- | --- |")
    ratios = {}
    for name, before in asdict(first).items():
        now = asdict(last)[name]
        ratios[name] = now / before
        print(f"| {name} | {before:.2f} | {now:.2f} | {ratios[name]:.3f} |")
    if arguments.json:
        document = {"steps": arguments.steps, "first": asdict(first), "last": asdict(last)}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(any(ratios[name] > _ALLOWED for name in ("median_ms", "memory_mib", "files", "threads")))


if __name__ == "__main__":
    sys.exit(main())
