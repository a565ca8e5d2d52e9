"""CPU seconds per step and epoch of one-stage methods: `python benchmarks/one_stage.py NAME ... --data-dir data`.

The real trainer takes a few steps of each recipe on one thread, images and augmentation included; the first step, which
sets things up, does not count. CPU seconds leave out the time in which the process waits for a core, so that other work
on the machine matters less. An epoch is the mean step times the steps of an epoch; it is not trained to its end.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import mean

import torch

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.recipes import Recipe
from ltzoo.recipes.cost import passes_text
from ltzoo.recipes.model import count_parameters
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions
from ltzoo.train.run import Run
from ltzoo.train.run_resources import RunResources
from machine import choose_device

HEADER: tuple[str, ...] = (
    "| recipe | parameters | passes x epochs | steps per epoch | CPU s per step | CPU s per epoch |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
)


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="one_stage.py", description="Measure CPU seconds per step and epoch of recipes.")
    parser.add_argument("names", nargs="+", metavar="NAME", help="recipes")
    parser.add_argument("--steps", type=at_least_one, default=4, metavar="N", help="measured steps of each (4)")
    parser.add_argument("--precision", default="bfloat16", metavar="P", help="of the forward passes (bfloat16)")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="holds the images (data)")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure, and print one row per recipe as soon as it is known."""
    device = choose_device("cpu")
    recipes = [replace(get_recipe(name), precision=arguments.precision) for name in arguments.names]
    header = HEADER
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            options = TrainOptions(arguments.data_dir, Path(folder), workers=0, threads=1)
            measured = measure(recipe, options, device, arguments.steps)
        print(*header, row(recipe, *measured), sep="\n", flush=True)
        header = ()


def measure(recipe: Recipe, options: TrainOptions, device: torch.device, steps: int) -> tuple[list[float], int]:
    """Take steps of a recipe's first epoch; returns CPU seconds of all but the first, and the steps of an epoch."""
    training = Run(recipe, options, RunResources(device))
    pauses = training.train()
    seconds = [time.process_time() for _ in islice(pauses, steps + 1)]
    pauses.close()
    return [after - before for before, after in pairwise(seconds)], len(training.batches)


def row(recipe: Recipe, seconds: list[float], per_epoch: int) -> str:
    """Format a row of the table."""
    each, spread = mean(seconds), f"{min(seconds):.2f} .. {max(seconds):.2f}"
    numbers = f"{passes_text(recipe)} | {per_epoch} | {each:.2f} ({spread}) | {each * per_epoch:.0f}"
    return f"| `{recipe.name}` | {count_parameters(recipe):,} | {numbers} |"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
