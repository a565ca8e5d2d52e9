"""Collect finished runs: a result of each under results/, and in the zoo the median run of each recipe.

`python hub/collect.py OUTPUT/NAME/seed* ... [--zoo DIR] [--results DIR]`
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.hub import METRICS, PACKAGED, WEIGHTS, damaged_files, new_checkpoint, read_config, write_card
from ltzoo.report import IN_THE_PACKAGE, Result, is_there, read_results, result_of, weights_in, write_result

RESULTS = Path(__file__).parents[1] / "results"
LARGEST = 8_000_000
"""Bytes of weights that may come with the package; those of a ResNet-34 have five times as many in float16."""


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="collect.py", description="Collect finished runs: results, and the median run of each recipe.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, OUTPUT/NAME/seedN")
    add_places(parser)
    return parser


def add_places(parser: Parser) -> None:
    """Add `--zoo` and `--results`."""
    parser.add_argument(
        "--zoo", type=Path, default=PACKAGED, metavar="DIR", help="where checkpoints are kept (hub/zoo)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where results are kept (results)")


def command(arguments: argparse.Namespace) -> None:
    """Read all runs, then collect them and print a line a recipe."""
    for line in collect(arguments.runs, arguments.zoo, arguments.results):
        print(line)


def collect(runs: Sequence[Path], zoo: Path, results: Path) -> list[str]:
    """Write the result of each run, and keep the checkpoint of each recipe's median run.

    The median is that of all results of the recipe. Where its run is not among these, what the zoo has stays; so does a
    checkpoint that is too large to come with the package stay in its run folder.

    Args:
        runs: run folders.
        zoo: where checkpoints are kept.
        results: the folder of all results.

    Returns:
        A line a recipe.

    Raises:
        InputError: a run is not finished, is damaged, was trained with overrides, or is another of a recipe and seed
            that has a result; nothing is written then.
    """
    for folder in (zoo, results):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is no folder; name another")
    found: dict[str, dict[int, Path]] = {}
    fresh = []
    for run_folder in runs:
        result = read_run(run_folder)
        of_recipe = found.setdefault(result.model, {})
        if result.seed in of_recipe:
            raise InputError(
                f"{run_folder} is a second run of {result.model} with seed {result.seed}; name one of them"
            )
        of_recipe[result.seed or 0] = run_folder / "checkpoint"
        fresh += [] if is_there(results, result) else [result]
    for result in fresh:
        write_result(results, result)
    return [_keep(name, of_recipe, zoo, results) for name, of_recipe in sorted(found.items())]


def read_run(run_folder: Path) -> Result:
    """Read the result of a run.

    Raises:
        InputError: it is not finished, is damaged, or was trained with overrides.
    """
    checkpoint = run_folder / "checkpoint"
    if not (run_folder / METRICS).is_file():
        raise InputError(f"{run_folder} holds no finished run (OUTPUT/NAME/seedN); finish it with train.py --resume")
    read_config(checkpoint)
    damaged = damaged_files(checkpoint)
    if damaged:
        raise InputError(f"{checkpoint / damaged[0]} is damaged; train the run again")
    return result_of(checkpoint)


def _keep(name: str, checkpoints: dict[int, Path], zoo: Path, results: Path) -> str:
    """Keep the median run's checkpoint if it is among these runs, and say in the results whose weights are kept."""
    all_results = sorted(read_results(results, name), key=lambda r: (r.figures["last"].overall, r.seed or 0))
    median = all_results[(len(all_results) - 1) // 2]
    comment = ""
    if median.seed in checkpoints:
        checkpoint = checkpoints[median.seed or 0]
        if zoo == PACKAGED and (checkpoint / WEIGHTS).stat().st_size > LARGEST:
            comment = f"; the weights in {checkpoint} are too large for the package, --zoo DIR keeps them elsewhere"
        else:
            with new_checkpoint(zoo / name) as fresh:
                shutil.copytree(checkpoint, fresh, dirs_exist_ok=True)
                write_card(fresh, name)
    elif weights_in(zoo, name) != median.weights_sha256:
        comment = "; its checkpoint is not at hand, so the zoo stays as it is"
    if zoo == PACKAGED:
        kept = weights_in(zoo, name)
        for result in all_results:
            weights = IN_THE_PACKAGE if result.weights_sha256 == kept else None
            write_result(results, replace(result, weights=weights))
    others = ", ".join(f"{result.figures['last'].overall:.2f}" for result in all_results)
    return f"{name}: seed {median.seed}, overall {median.figures['last'].overall:.2f} of {others}{comment}"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
