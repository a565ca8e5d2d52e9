"""Losses, groups and evaluation at the size of iNaturalist 2018: `python benchmarks/scale.py`.

Measures everything that depends on the number of classes but needs no network and no images. Class counts, logits and
labels are simulated, see `simulation.py`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.data import NATURAL_BENCHMARKS, ModelInput, all_groups, make_groups
from ltzoo.data.files import DataLocation, open_files
from ltzoo.evaluate import markdown_table, measure
from ltzoo.losses import CE, DRW, LA, LDAM, VS
from ltzoo.sharpness import SSESAM
from ltzoo.sharpness.batch import weigh_batch
from machine import choose_threads, describe_machine
from simulation import Simulation, natural_counts, simulate_predictions, simulate_targets, write_list

TIMES = 10
"""Repetitions per round of functions that take milliseconds."""
LOSSES = (CE(), LDAM(max_margin=0.3, scale=30.0), VS(gamma=0.05, tau=0.75), LA(tau=1.0))


@dataclass(frozen=True)
class Row:
    """Cost of one operation.

    Attributes:
        what: name of the operation.
        size: size of its input.
        seconds: mean seconds per call in every round.
        baseline: the same for the operation that it is compared with; empty without one.
        extra_bytes: peak memory beyond what the process had before; None if not measured.
    """

    what: str
    size: str
    seconds: Sequence[float]
    baseline: Sequence[float] = ()
    extra_bytes: int | None = None


def measure_lists(simulation: Simulation) -> list[Row]:
    """Measure reading a list file: paths, labels and classes of every image."""
    with tempfile.TemporaryDirectory() as folder:
        location = DataLocation(Path(folder) / "train.txt")
        write_list(location.data_dir, simulation)
        opened = partial(open_files, NATURAL_BENCHMARKS["imagefolder"], "train", location)
        seconds, extra = _with_peak(opened, simulation.repeats)
    return [Row("list of images", f"{sum(simulation.counts):,} lines", seconds, extra_bytes=extra)]


def measure_evaluation(simulation: Simulation) -> list[Row]:
    """Measure computing all figures of a test set from its logits: accuracy, top 5, groups and calibration."""
    counts, groupings = simulation.counts, all_groups(simulation.benchmark)
    predictions = simulate_predictions(len(counts))
    seconds, extra = _with_peak(partial(measure, predictions, counts, groupings, "simulated"), simulation.repeats)
    images, classes = predictions.logits.shape
    size = f"{images:,} x {classes:,} logits, {predictions.logits.nbytes / 2**20:,.0f} MiB; {len(groupings)} groupings"
    return [Row("evaluation", size, seconds, extra_bytes=extra)]


def measure_losses(simulation: Simulation) -> list[Row]:
    """Measure the losses of a batch and their gradients in the logits, compared with torch's cross-entropy."""
    targets = simulate_targets(simulation)
    logits = torch.randn(len(targets), len(simulation.counts)).requires_grad_()

    def passes(criterion: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(criterion(logits, targets).mean(), logits)

    bound = {loss.name.upper(): loss.bind(simulation.counts) for loss in LOSSES}
    plain, *ours = alternate([passes(F.cross_entropy), *map(passes, bound.values())], simulation.repeats)
    size = f"{len(targets):,} x {len(simulation.counts):,} logits, forward and backward"
    rows = [Row("torch's cross-entropy", size, plain)]
    return rows + [Row(name, size, seconds, plain) for name, seconds in zip(bound, ours, strict=True)]


def measure_step_parts(simulation: Simulation) -> list[Row]:
    """Measure class weights and the table, once per epoch, and the rows of the table, once per step."""
    counts, targets = torch.tensor(simulation.counts), simulate_targets(simulation)
    method, rule = SSESAM(rho_head=0.05, rho_tail=0.15, gamma=0.8, eta=100), DRW(start=0, beta=0.9999)
    table, weights = method.table(counts, 0, 90), rule.weights(counts, 0).float()

    def rows_of_batch() -> object:
        return weigh_batch(table, targets, class_weights=weights)

    work = [lambda: method.table(counts, 0, 90), lambda: rule.weights(counts, 0), rows_of_batch]
    names = ("table of SSE-SAM, per epoch", "class weights of DRW, per epoch", "rows of the table, per step")
    classes = f"{len(counts):,} classes"
    sizes = (classes, classes, f"{len(targets):,} targets, {classes}")
    return [Row(*row) for row in zip(names, sizes, alternate(work, simulation.repeats), strict=True)]


def measure_groups(simulation: Simulation) -> list[Row]:
    """Measure making each grouping that is defined on the benchmark."""
    benchmark = simulation.benchmark
    rules = [groups.rule for groups in all_groups(benchmark)]
    times = alternate([partial(make_groups, rule, benchmark) for rule in rules], simulation.repeats)
    size = f"{len(simulation.counts):,} classes"
    return [Row(f"groups by the rule {rule}", size, seconds) for rule, seconds in zip(rules, times, strict=True)]


PARTS: tuple[Callable[[Simulation], list[Row]], ...] = (
    measure_lists,  # first the two that measure memory, since memory freed by others would not count as extra
    measure_evaluation,
    measure_losses,
    measure_step_parts,
    measure_groups,
)
"""The measurements of the table."""


def alternate(work: Sequence[Callable[[], object]], repeats: int, times: int = TIMES) -> list[list[float]]:
    """Run functions alternately; return the mean seconds per call of each function in every round.

    Args:
        work: the functions.
        repeats: rounds, after one warm-up round.
        times: calls per round.
    """
    seconds: list[list[float]] = [[] for _ in work]
    for round_ in range(-1, repeats):
        for one, taken in zip(work, seconds, strict=True):
            began = time.perf_counter()
            for _ in range(times):
                one()
            if round_ >= 0:
                taken.append((time.perf_counter() - began) / times)
    return seconds


def _with_peak(work: Callable[[], object], repeats: int) -> tuple[list[float], int | None]:
    """Measure the seconds of a function in every round, and its peak memory beyond what the process had before."""
    extra: list[int] = []

    def watched() -> None:
        before = _reset_peak()
        work()
        if before is not None:
            extra.append(_memory("VmHWM") - before)

    (seconds,) = alternate([watched], repeats, times=1)
    return seconds, max(extra) if extra else None


def _reset_peak() -> int | None:
    """Reset the process's peak memory and return its current memory in bytes; None if the system is not Linux.

    The profiler in `machine.peak_bytes` does not see allocations in Python threads.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _memory("VmRSS")
    except OSError:
        return None


def _memory(key: str) -> int:
    """Read an entry of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def table(rows: Sequence[Row]) -> str:
    """Format the rows as Markdown; times and ratios are medians with their range."""
    header = ["what", "of", "n", "ms (range)", "ratio (range)", "extra peak MiB"]
    return markdown_table(header, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    ratios = [ours / theirs for ours, theirs in zip(row.seconds, row.baseline, strict=True)] if row.baseline else []
    memory = "" if row.extra_bytes is None else f"{row.extra_bytes / 2**20:.0f}"
    milliseconds = [1000 * taken for taken in row.seconds]
    return [row.what, row.size, str(len(row.seconds)), _spread(milliseconds, ".3g"), _spread(ratios, ".2f"), memory]


def _spread(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} .. {max(values):{form}})" if values else ""


def command(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    choose_threads(arguments.threads)
    torch.manual_seed(0)
    counts = natural_counts(arguments.images, arguments.classes)
    names = [str(label) for label in range(len(counts))]
    view = ModelInput(size=224, mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0, interpolation="bilinear")
    benchmark = NATURAL_BENCHMARKS["inat18"].with_counts(counts, names, view)
    simulation = Simulation(benchmark, arguments.batch_size, arguments.repeats)
    print(
        f"{describe_machine(torch.device('cpu'))}; simulated: {sum(counts):,} images of {len(counts):,} classes, "
        f"{max(counts):,} to {min(counts)} each, median {median(counts):g}; float32; "
        f"{arguments.repeats} rounds of {TIMES} calls (evaluation: one), medians (range); ratios to torch's "
        "cross-entropy, per round\n",
        flush=True,
    )
    print(table([row for part in PARTS for row in part(simulation)]))


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="scale.py", description="Measure losses, groups and evaluation of thousands of classes.")
    parser.add_argument(
        "--images", type=at_least_one, default=437_513, metavar="N", help="training images (%(default)s)"
    )
    parser.add_argument("--classes", type=at_least_one, default=8142, metavar="N", help="classes (%(default)s)")
    parser.add_argument(
        "-b", "--batch-size", type=at_least_one, default=256, metavar="N", help="images per step (%(default)s)"
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (one per core)")
    parser.add_argument("--repeats", type=at_least_one, default=7, metavar="N", help="rounds (%(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
