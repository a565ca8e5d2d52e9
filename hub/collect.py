"""Collect finished runs: a result of each under results/, and in the zoo the median run of each recipe.

`python hub/collect.py OUTPUT/NAME/seed* ... [--zoo DIR] [--results DIR]`
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.hub import METRICS, WEIGHTS, damaged_files, new_checkpoint, read_config, write_card
from ltzoo.report import Result, is_there, place_of, read_results, result_of, weights_in, write_result

ZOO, RESULTS = Path(__file__).parent / "zoo", Path(__file__).parents[1] / "results"
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
    parser.add_argument("--zoo", type=Path, default=ZOO, metavar="DIR", help="where checkpoints are kept (hub/zoo)")
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
            that has a result; or the zoo has a checkpoint of a recipe of which there is no result, which nothing says
            how to weigh. Nothing is written then.
    """
    for folder in (zoo, results):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is no folder; name another")
    found: dict[str, dict[int, tuple[Path, Result]]] = {}
    for run_folder in runs:
        result = read_run(run_folder)
        of_recipe = found.setdefault(result.model, {})
        if result.seed in of_recipe:
            raise InputError(
                f"{run_folder} is a second run of {result.model} with seed {result.seed}; name one of them"
            )
        is_there(results, result)  # or another, which is refused
        of_recipe[result.seed or 0] = run_folder / "checkpoint", result
    known = {name: _known(name, of_recipe, zoo, results) for name, of_recipe in sorted(found.items())}
    return [_keep(name, of_all, found[name], zoo, results) for name, of_all in known.items()]


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


def _known(name: str, runs: Mapping[int, tuple[Path, Result]], zoo: Path, results: Path) -> list[Result]:
    """List a recipe's results, those that are written and those of these runs, from the lowest accuracy on."""
    by_seed = {seed: result for seed, (_, result) in runs.items()}
    by_seed |= {result.seed or 0: result for result in read_results(results, name)}
    kept = weights_in(zoo, name)
    if kept is not None and kept not in [result.weights_sha256 for result in by_seed.values()]:
        raise InputError(
            f"{zoo / name} holds a checkpoint of which {results} has no result; name the results that belong to it "
            "with --results, or remove it"
        )
    return sorted(by_seed.values(), key=lambda result: (result.figures["last"].overall, result.seed or 0))


def _keep(
    name: str, of_all: Sequence[Result], runs: Mapping[int, tuple[Path, Result]], zoo: Path, results: Path
) -> str:
    """Keep the median run's checkpoint if it is among these runs, then write the results and whose weights are kept."""
    median, comment = of_all[(len(of_all) - 1) // 2], ""
    missing = weights_in(zoo, name) != median.weights_sha256
    if missing and median.seed not in runs:
        comment = "; its checkpoint is not at hand, so the zoo stays as it is"
    elif missing:
        checkpoint, _ = runs[median.seed or 0]
        if zoo.resolve() == ZOO.resolve() and (checkpoint / WEIGHTS).stat().st_size > LARGEST:
            comment = f"; the weights in {checkpoint} are too large for the package, --zoo DIR keeps them elsewhere"
        else:
            with new_checkpoint(zoo / name) as fresh:
                shutil.copytree(checkpoint, fresh, dirs_exist_ok=True)
                write_card(fresh, name)
    kept, place = weights_in(zoo, name), place_of(zoo, results)
    for result in of_all:
        elsewhere = None if result.weights == place else result.weights
        weights = elsewhere or (place if result.weights_sha256 == kept else None)
        write_result(results, replace(result, weights=weights))
    others = ", ".join(f"{result.figures['last'].overall:.2f}" for result in of_all)
    return (
        f"{name}: the median of {others} is seed {median.seed}, overall {median.figures['last'].overall:.2f}{comment}"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
