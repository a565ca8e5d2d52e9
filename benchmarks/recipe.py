"""Estimate the training time of a recipe from a few epochs: `python benchmarks/recipe.py NAME --device cpu`.

The real trainer runs a shortened recipe. Epochs of the same kind, in which the same groups are perturbed in the same
way, cost the same; the two stages of SSE-SAM are different kinds. Every kind is measured and then extrapolated.
"""

import argparse
import contextlib
import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.recipes import Recipe, override
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, train
from machine import DEVICES, choose_device, describe_machine

Kind = tuple[tuple[bool, ...], str, int]
"""Which groups are perturbed, the direction, and the parts of a batch."""


class _TimedOutput(io.TextIOBase):
    """Forwards the trainer's output to stderr and records the time of each line."""

    def __init__(self) -> None:
        self.beneath = sys.stderr
        self.lines: list[tuple[float, str]] = []
        self.unfinished = ""

    def write(self, text: str) -> int:
        *lines, self.unfinished = (self.unfinished + text).split("\n")
        self.lines += [(time.perf_counter(), line) for line in lines]
        return self.beneath.write(text)

    def flush(self) -> None:
        self.beneath.flush()


@dataclass(frozen=True)
class Measured:
    """Seconds of a short run.

    Attributes:
        kinds: the kind of each epoch.
        training: training time of each epoch.
        evaluation: evaluation time of each epoch.
        start: time before the first epoch: data, model, checks.
        saving: time to write state and log, over all epochs.
        end: time for checkpoint, figures and plots.
        description: the trainer's description of device and precision.
    """

    kinds: Sequence[Kind]
    training: Sequence[float]
    evaluation: Sequence[float]
    start: float
    saving: float
    end: float
    description: str


def kinds_of(recipe: Recipe) -> list[Kind]:
    """Return the kind of each epoch of a recipe."""
    epochs = recipe.schedule.epochs
    tables = [recipe.perturbation.table(recipe.data.class_counts, epoch, epochs) for epoch in range(epochs)]
    return [(tuple(radius > 0 for radius in table.radii), table.direction, table.parts) for table in tables]


def short_recipe(recipe: Recipe, wanted: int) -> Recipe:
    """Shorten a recipe such that `wanted` epochs of each kind remain, or all if it has fewer.

    Args:
        recipe: the recipe.
        wanted: epochs per kind.
    """
    enough = {kind: min(wanted, count) for kind, count in Counter(kinds_of(recipe)).items()}
    for epochs in range(min(wanted, recipe.schedule.epochs), recipe.schedule.epochs):
        short = recipe.with_epochs(epochs)
        found = Counter(kinds_of(short))
        if all(found[kind] >= count for kind, count in enough.items()):
            return short
    return recipe


def measure(recipe: Recipe, options: TrainOptions) -> Measured:
    """Train a recipe and break down the time.

    Args:
        recipe: a shortened recipe.
        options: data and a temporary output folder.
    """
    clock = _TimedOutput()
    began = time.perf_counter()
    with contextlib.redirect_stderr(clock):
        folder = train(recipe, options)
    ended = time.perf_counter()
    rows = RunFolder(folder.path).read_history(recipe.schedule.epochs)
    training = [row["seconds"] or 0.0 for row in rows]
    evaluation = [row["eval_seconds"] or 0.0 for row in rows]
    # The trainer prints one line when the first epoch begins and one at the end of each epoch.
    first, line = next((when, line) for when, line in clock.lines if line.startswith(str(folder.path)))
    description = line.removeprefix(f"{folder.path}: ").partition(", overridden")[0].partition(" on ")[2]
    last = max(when for when, line in clock.lines if line.startswith("epoch "))
    saving = last - first - sum(training) - sum(evaluation)
    return Measured(kinds_of(recipe), training, evaluation, first - began, saving, ended - last, description)


def report(recipe: Recipe, measured: Measured) -> str:
    """Format the measured times and the extrapolation to the whole recipe as Markdown."""
    epochs, done = recipe.schedule.epochs, len(measured.kinds)
    counts = Counter(kinds_of(recipe))
    lines = ["| part | measured | whole recipe (extrapolated) |", "| --- | --- | ---: |"]
    total = 0.0
    for number, (kind, count) in enumerate(counts.items(), 1):
        seconds = [s for s, found in zip(measured.training, measured.kinds, strict=True) if found == kind]
        # The first epoch of a kind includes warm-up, so it counts once.
        first, *later = seconds
        each = mean(later) if later else first
        whole = first + (count - 1) * each
        name = "training" if len(counts) == 1 else f"training, stage {number}"
        spread = f", later {each:.4g} s ({min(later):.4g} .. {max(later):.4g})" if later else ""
        lines.append(f"| {name} | {len(seconds)} epochs: first {first:.4g} s{spread} | {count} epochs: {whole:.4g} s |")
        total += whole
    evaluation = mean(measured.evaluation)
    saving = measured.saving / done
    for name, each in (("evaluation", evaluation), ("state and log", saving)):
        lines.append(f"| {name} | {done} epochs: {each:.3g} s each | {epochs} epochs: {epochs * each:.4g} s |")
        total += epochs * each
    for name, once in (("start-up", measured.start), ("checkpoint, figures, pictures", measured.end)):
        lines.append(f"| {name} | {once:.3g} s | once: {once:.3g} s |")
        total += once
    whole_run = sum(measured.training) + sum(measured.evaluation) + measured.start + measured.saving + measured.end
    lines.append(f"| all | {whole_run:.4g} s | {total:.4g} s ({total / 60:.1f} min) |")
    return "\n".join(lines)


def command(arguments: argparse.Namespace) -> None:
    """Train a few epochs in a temporary folder and print the table."""
    device = choose_device(arguments.device)
    recipe = get_recipe(arguments.recipe)
    if arguments.amp_dtype:
        recipe = override(recipe, {"precision": arguments.amp_dtype})
    short = short_recipe(recipe, arguments.epochs)
    with tempfile.TemporaryDirectory() as output:
        options = TrainOptions(
            arguments.data_dir,
            Path(output),
            channels_last=arguments.channels_last,
            capture=not arguments.eager,
            threads=arguments.threads,
        )
        measured = measure(short, options)
    print(
        f"{recipe.name} on {describe_machine(device)}; {measured.description}; batch {recipe.batch_size}; "
        f"measured {short.schedule.epochs} epochs of {recipe.schedule.epochs}\n\n{report(recipe, measured)}"
    )


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="recipe.py", description="Measure a few epochs of a recipe and extrapolate to the whole.")
    parser.add_argument("recipe", metavar="NAME", help="a recipe's name")
    parser.add_argument("--device", required=True, choices=DEVICES, help="where to compute")
    parser.add_argument(
        "--epochs", type=at_least_one, default=2, metavar="N", help="epochs to measure per stage (%(default)s)"
    )
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder with CIFAR (%(default)s)"
    )
    parser.add_argument(
        "--amp-dtype", choices=["bfloat16", "float16"], help="precision of the forward passes (the recipe's own)"
    )
    parser.add_argument(
        "--channels-last", action=argparse.BooleanOptionalAction, help="memory format (the trainer's choice)"
    )
    parser.add_argument("--eager", action="store_true", help="on CUDA, do not capture the step")
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (the trainer's choice)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
