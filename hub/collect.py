"""Collect finished runs into the zoo: of each recipe the run whose overall accuracy is the median of its seeds.

`python hub/collect.py OUTPUT/NAME/seed* ... [--zoo DIR]`
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.hub import METRICS, PACKAGED, damaged_files, new_checkpoint, read_config, write_card


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="collect.py", description="Collect finished runs into the zoo, the median run of each recipe.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, OUTPUT/NAME/seedN")
    parser.add_argument("--zoo", type=Path, default=PACKAGED, metavar="DIR", help="where to put them (hub/zoo)")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Choose, copy and print."""
    if arguments.zoo.exists() and not arguments.zoo.is_dir():
        raise InputError(f"{arguments.zoo} is no folder; name another --zoo")
    runs: dict[str, list[tuple[float, int, Path]]] = {}
    for run_folder in arguments.runs:
        name, figure = read_run(run_folder)
        if figure[1] in [seed for _, seed, _ in runs.get(name, [])]:
            raise InputError(f"{run_folder} is a second run of {name} with seed {figure[1]}; name one of them")
        runs.setdefault(name, []).append(figure)
    for name, found in sorted(runs.items()):
        found.sort()
        overall, seed, chosen = found[(len(found) - 1) // 2]
        with new_checkpoint(arguments.zoo / name) as fresh:
            shutil.copytree(chosen, fresh, dirs_exist_ok=True)
            write_card(fresh, name)
        others = ", ".join(f"{figure:.2f}" for figure, _, _ in found)
        print(f"{name}: seed {seed}, overall {overall:.2f} of {others}")


def read_run(run_folder: Path) -> tuple[str, tuple[float, int, Path]]:
    """Read a run: the recipe's name, and last epoch's overall accuracy, seed and checkpoint.

    Raises:
        InputError: it is not finished, is damaged, or was trained with overrides.
    """
    checkpoint = run_folder / "checkpoint"
    if not (run_folder / METRICS).is_file():
        raise InputError(f"{run_folder} holds no finished run (OUTPUT/NAME/seedN); finish it with train.py --resume")
    config, damaged = read_config(checkpoint), damaged_files(checkpoint)
    if damaged:
        raise InputError(f"{checkpoint / damaged[0]} is damaged; train the run again")
    if config.get("overrides"):
        raise InputError(f"{run_folder} was trained with overrides; the zoo keeps recipes as they are")
    metrics = json.loads((checkpoint / METRICS).read_text(encoding="utf-8"))
    return metrics["recipe"], (metrics["last"]["overall"], config["seed"], checkpoint)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
