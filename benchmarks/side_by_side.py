"""Concurrent runs on one device against a single run: `python benchmarks/side_by_side.py NAME --device cuda --runs 3`.

Each round trains one run, then several concurrently, each with its own seed. The gain is the throughput of the
concurrent runs over that of the single run, with data loading, evaluation and files included.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.recipes import Recipe
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions, train_all
from machine import DEVICES, choose_device, describe_machine


def seconds(recipe: Recipe, data_dir: Path, runs: int) -> float:
    """Train several seeds of a recipe concurrently, in a temporary folder; return the seconds for all."""
    with tempfile.TemporaryDirectory() as output:
        jobs = [(recipe, TrainOptions(data_dir, Path(output), seed=seed)) for seed in range(runs)]
        began = time.perf_counter()
        train_all(jobs)
        return time.perf_counter() - began


def command(arguments: argparse.Namespace) -> None:
    """Measure in alternation and print the gain."""
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
        f"throughput gain {median(gains):.2f} ({min(gains):.2f} .. {max(gains):.2f}), {arguments.repeats} rounds"
    )


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(
        prog="side_by_side.py", description="Measure the throughput gain of concurrent runs over a single run."
    )
    parser.add_argument("recipe", metavar="NAME", help="a recipe's name")
    parser.add_argument("--device", required=True, choices=DEVICES, help="where to compute")
    parser.add_argument("--runs", type=at_least_one, default=3, metavar="N", help="concurrent runs (%(default)s)")
    parser.add_argument("--epochs", type=at_least_one, default=5, metavar="N", help="epochs per run (%(default)s)")
    parser.add_argument("--repeats", type=at_least_one, default=3, metavar="N", help="rounds (%(default)s)")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder with CIFAR (%(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
