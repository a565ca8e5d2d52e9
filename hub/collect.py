"""Collect finished runs: write the result of each to results/, and keep the median run of each recipe in the zoo.

`python hub/collect.py OUTPUT/NAME/seed* ... [--zoo DIR] [--results DIR]`
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from folders import ZOO, add_zoo_options, check_folders
from ltzoo.atomic_write import remove_left_over, write_errors
from ltzoo.checkpoints import METRICS, damaged_files, new_checkpoint, read_config, write_card
from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.report import Result, has_result, read_results, result_from_checkpoint, write_result, zoo_path, zoo_weights
from package_room import no_room

_PATIENCE = 300
"""Seconds that a collector waits for another one."""


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="collect.py", description="Collect finished runs: results, and the median run of each recipe.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, OUTPUT/NAME/seedN")
    add_zoo_options(parser)
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Collect the runs and print one line per recipe."""
    for line in collect(arguments.runs, arguments.zoo, arguments.results):
        print(line)


def collect(runs: Sequence[Path], zoo: Path, results: Path) -> list[str]:
    """Write the result of each run, and keep the checkpoint of each recipe's median run.

    The median is taken over all results of the recipe. If its run is not among `runs`, the zoo stays as it is. A
    checkpoint for which the package has no room (too large, or of most recipes on the digits) stays in its run folder.

    Args:
        runs: run folders.
        zoo: the folder of the checkpoints.
        results: the folder of all results.

    Returns:
        One line per recipe.

    Raises:
        InputError: a run is not finished, is damaged, was trained with overrides, or differs from the result of its
            recipe and seed; or the zoo has a checkpoint without a result. Nothing is written then.
    """
    check_folders(zoo, results)
    found: dict[str, dict[int, tuple[Path, Result]]] = {}
    for run_folder in runs:
        result = read_run(run_folder)
        of_recipe = found.setdefault(result.model, {})
        if result.seed in of_recipe:
            raise InputError(
                f"{run_folder} is a second run of {result.model} with seed {result.seed}; give one of them"
            )
        has_result(results, result)  # raises for a different result
        of_recipe[result.seed or 0] = run_folder / "checkpoint", result
    names = sorted(found)
    for name in names:
        _known(name, found[name], zoo, results)  # raises before anything is written
    with _lock(results):
        # Read once more: another collector may have written in the meantime.
        known = {name: _known(name, found[name], zoo, results) for name in names}
        return [_keep(name, of_all, found[name], zoo, results) for name, of_all in known.items()]


@contextmanager
def _lock(results: Path) -> Iterator[None]:
    """Let one collector at a time change a folder of results and the zoo that belongs to it."""
    with write_errors(results):
        results.mkdir(parents=True, exist_ok=True)
    lock = FileLock(results / ".lock", timeout=_PATIENCE)
    try:
        with write_errors(results):
            _acquire(lock, results)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, results: Path) -> None:
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"{results} has been in use by another collector for more than {_PATIENCE} s; run the command again later"
        ) from error


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
    return result_from_checkpoint(checkpoint)


def _known(name: str, runs: Mapping[int, tuple[Path, Result]], zoo: Path, results: Path) -> list[Result]:
    """List a recipe's results, written ones and those of these runs, sorted by accuracy, the lowest first."""
    by_seed = {seed: result for seed, (_, result) in runs.items()}
    by_seed |= {result.seed or 0: result for result in read_results(results, name)}
    kept = zoo_weights(zoo, name)
    if kept is not None and kept not in [result.weights_sha256 for result in by_seed.values()]:
        raise InputError(
            f"{zoo / name} holds a checkpoint without a result in {results}; give the folder of its results "
            "as --results, or remove it"
        )
    return sorted(by_seed.values(), key=lambda result: (result.figures["last"].overall, result.seed or 0))


def _keep(
    name: str, of_all: Sequence[Result], runs: Mapping[int, tuple[Path, Result]], zoo: Path, results: Path
) -> str:
    """Write all results, and keep the median run's checkpoint if it is among these runs.

    Results are written before the checkpoint is replaced, so that it never is one without a result, and after that,
    since they say whose weights are kept.
    """
    remove_left_over(zoo / name)
    checkpoint: Path | None = None
    median, comment = of_all[(len(of_all) - 1) // 2], ""
    missing = zoo_weights(zoo, name) != median.weights_sha256
    measured = None if missing else result_from_checkpoint(zoo / name)
    if missing and median.seed not in runs:
        comment = "; its run is not among these, so the zoo stays as it is"
    elif missing:
        folder, own = runs[median.seed or 0]
        why_not = no_room(median, folder, zoo) if _is_package(zoo) else ""
        if why_not:
            comment = f"; the weights in {folder} are {why_not}; keep them elsewhere with --zoo DIR"
        else:
            checkpoint, measured = folder, own
    if measured is not None and (_is_package(zoo) or median.weights in (None, zoo_path(zoo, results))):
        # Another run of the same seed can have the same weights, but its times and versions are not these.
        kept = replace(measured, weights=median.weights)
        of_all = [kept if result is median else result for result in of_all]
    _write(of_all, name, zoo, results)
    if checkpoint is not None:
        with new_checkpoint(zoo / name) as fresh:
            shutil.copytree(checkpoint, fresh, dirs_exist_ok=True)
            write_card(fresh, name)
        _write(of_all, name, zoo, results)
    others = ", ".join(f"{result.figures['last'].overall:.2f}" for result in of_all)
    return (
        f"{name}: the median of {others} is seed {median.seed}, overall {median.figures['last'].overall:.2f}{comment}"
    )


def _write(of_all: Sequence[Result], name: str, zoo: Path, results: Path) -> None:
    """Write a recipe's results, with the folder of their weights; that of the package comes before any other."""
    kept, path = zoo_weights(zoo, name), zoo_path(zoo, results)
    for result in of_all:
        weights = None if result.weights == path else result.weights
        if result.weights_sha256 == kept and (weights is None or _is_package(zoo)):
            weights = path
        write_result(results, replace(result, weights=weights))


def _is_package(zoo: Path) -> bool:
    return zoo.resolve() == ZOO.resolve()


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
