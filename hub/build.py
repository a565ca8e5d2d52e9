"""Train the missing runs of the zoo, most important first, several at once, within a time budget.

`python hub/build.py [PATTERN ...] [--seeds 0 1 2] [--time-budget MINUTES] [--data-dir DIR]`. Runs are resumable: the
same command continues where the last one stopped. `--pack DIR` writes the images that a machine without the data needs.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import get_args, get_type_hints

from folders import add_zoo_options, check_folders
from interrupts import interrupts
from ltzoo.cli import arguments as options
from ltzoo.cli.parser import Parser, run
from ltzoo.data import Subset
from ltzoo.data.memory import load_subset
from ltzoo.errors import InputError, counted
from ltzoo.recipes import Pretrained, Recipe
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import read_results
from ltzoo.train import ValInterval
from ltzoo.train.checkpoints import check_saved_epochs
from ltzoo.train.val_interval import check_val_interval
from machine_settings import machine_settings
from packing import pack_images
from run_queue import RunQueue
from time_left import time_left
from training_order import in_order, with_first_stages, without_repetitions

_PRECISIONS = get_args(get_type_hints(Recipe)["precision"])


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="build.py", description="Train the missing runs of the zoo, most important first.")
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN", help="recipes, as wildcards (all)")
    parser.add_argument(
        "--seeds", type=options.parse_seed, nargs="+", default=[0, 1, 2], metavar="N", help="in this order (0 1 2)"
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
        "--threads",
        type=options.at_least_one,
        metavar="N",
        help="CPU threads per run (on CPUs 1; unfinished runs: theirs)",
    )
    parser.add_argument("--precision", choices=_PRECISIONS, help="of all runs (each recipe's own)")
    parser.add_argument("--eager", action="store_true", help="on CUDA, run no step as one graph")
    parser.add_argument(
        "--doctor",
        type=Path,
        metavar="FILE",
        help="what ltzoo doctor --json FILE found on this machine: its precision, jobs, threads and capture are used "
        "where no option gives them",
    )
    options.add_data_options(parser)
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR", help="holds the runs (output)")
    options.add_save_epochs(parser)
    options.add_half(parser)
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


def command(arguments: argparse.Namespace) -> int:
    """Train or pack; return 1 if a run failed."""
    if arguments.hold_out and not arguments.pack:
        raise InputError("--hold-out belongs to --pack; hub/choose.py trains with held-out images")
    check_folders(arguments.output, arguments.zoo, arguments.results)
    recipes = [get_recipe(name) for pattern in arguments.patterns for name in _matching(pattern)]
    finished = {(result.model, result.seed) for result in read_results(arguments.results)}
    seeds = list(dict.fromkeys(arguments.seeds))
    wanted = in_order(dict.fromkeys(recipes), seeds)
    jobs = [job for job in wanted if (job[0].name, job[1]) not in finished]
    there = len(wanted) - len(jobs)
    if arguments.pack:
        load = partial(_subset, arguments=arguments)
        pack_images([recipe for recipe, _ in jobs], load, arguments.data_dir, arguments.pack, arguments.hold_out)
        return 0
    machine = machine_settings(arguments)
    jobs = without_repetitions(jobs, arguments.output, partial(print, flush=True))
    missing = len(jobs)
    jobs = with_first_stages(jobs, arguments.output)
    check_val_interval(ValInterval.parse(arguments.val_interval), recipes)
    for recipe, _ in jobs:
        check_saved_epochs(arguments.save_epochs, recipe)
    first = f", and {counted(len(jobs) - missing, 'first stage')} for them" if len(jobs) > missing else ""
    have = counted(there, "run has a result", "runs have a result")
    print(f"{have}, {counted(missing, 'is missing', 'are missing')}{first}", flush=True)
    for recipe in {recipe.data.data_set.name: recipe for recipe, _ in jobs if not recipe.natural}.values():
        _subset(recipe, arguments)  # missing data fail here once, not in every run
    for line in time_left(jobs, arguments.output, machine.workers):
        print(line, flush=True)
    with interrupts():
        return RunQueue(arguments, machine, jobs, finished).work() if jobs else 0


def _matching(pattern: str) -> list[str]:
    if not set(pattern) & set("*?["):
        recipe = get_recipe(pattern)  # an unknown name raises and suggests the nearest
        if recipe.benchmark == "imagefolder":
            raise InputError(f"{pattern} is for your own images, which are not part of the zoo; use train.py")
        return [recipe.name]
    # Few machines have the image files of these benchmarks, and timm's weights are a download: such recipes must be
    # named in full.
    found = [get_recipe(name) for name in list_recipes(pattern)]
    names = [recipe.name for recipe in found if not recipe.natural and recipe.start != Pretrained()]
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


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
