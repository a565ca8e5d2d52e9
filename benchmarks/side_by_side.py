"""Several runs on one device against one alone: `python benchmarks/side_by_side.py NAME --device cuda --runs 3`.

A turn trains one run, then several side by side, each a seed of its own; the gain is the work of the several over that
of the one in the same time. It counts everything, data, evaluation and files too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ltzoo.cli.parser import Parser, at_least_one, run
from ltzoo.recipes import Recipe
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions, train_all
from machine import DEVICES, choose_device, describe_machine


def seconds(recipe: Recipe, data_dir: Path, runs: int) -> float:
    """Train some seeds of a recipe together, in a folder that is thrown away; seconds for all."""
    with tempfile.TemporaryDirectory() as output:
        jobs = [(recipe, TrainOptions(data_dir, Path(output), seed=seed)) for seed in range(runs)]
        began = time.perf_counter()
        train_all(jobs)
        return time.perf_counter() - began


def command(arguments: argparse.Namespace) -> None:
    """Measure in turns and print the gain."""
    device = choose_device(arguments.device)
    recipe = get_recipe(arguments.recipe).with_epochs(arguments.epochs)
    seconds(recipe.with_epochs(1), arguments.data_dir, 1)
    pairs = [
        tuple(seconds(recipe, arguments.data_dir, runs) for runs in (1, arguments.runs))
        for _ in range(arguments.repeats)
    ]
    gains = [arguments.runs * one / several for one, several in pairs]
    print(
        f"{recipe.name}, {arguments.epochs} epochs, on {describe_machine(device)}: one run "
        f"{median(one for one, _ in pairs):.4g} s, {arguments.runs} runs {median(many for _, many in pairs):.4g} s; "
        f"work in the same time {median(gains):.2f} ({min(gains):.2f} .. {max(gains):.2f}), {arguments.repeats} turns"
    )


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="side_by_side.py", description="Measure what several runs side by side gain over one.")
    parser.add_argument("recipe", metavar="NAME", help="a recipe's name")
    parser.add_argument("--device", required=True, choices=DEVICES, help="where to compute")
    parser.add_argument("--runs", type=at_least_one, default=3, metavar="N", help="runs side by side (%(default)s)")
    parser.add_argument("--epochs", type=at_least_one, default=5, metavar="N", help="of each run (%(default)s)")
    parser.add_argument("--repeats", type=at_least_one, default=3, metavar="N", help="turns (%(default)s)")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="holds CIFAR (%(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
