"""Choose settings of a recipe by their accuracy on images held out of the training split, never on the test set.

`python hub/choose.py NAME --vary KEY=V1,V2 [--vary KEY2=...] --hold-out N [--seeds 0 1]` trains every combination of
the values with every seed. Finished runs are not repeated, so the same command continues where it stopped.
"""

import argparse
import itertools
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ltzoo.atomic_write import write_text
from ltzoo.cli.arguments import add_data_options, add_val_interval, at_least_one, parse_seed, writable
from ltzoo.cli.new_process import resume_in_new_process
from ltzoo.cli.parser import Parser, is_main_process, run
from ltzoo.cli.recipe_options import (
    add_field_options,
    add_precision_options,
    check_first_stages,
    features_folder,
    requested_recipe,
)
from ltzoo.errors import InputError
from ltzoo.evaluate import Spread, markdown_table, summarize_runs
from ltzoo.recipes import FirstStage, Recipe, override, parse_setting
from ltzoo.registry import get_recipe
from ltzoo.train import CaptureError, TrainOptions, ValInterval, train_all
from ltzoo.train.first_stage import find_first_stage

_ACCURACIES = ("overall", "head", "mid", "tail")


@dataclass(frozen=True)
class Varied:
    """Values to try for a field, or for several fields with one common value.

    Attributes:
        keys: dotted keys of the recipe.
        values: the values, as YAML reads them.
    """

    keys: tuple[str, ...]
    values: tuple[Any, ...]


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="choose.py", description="Choose settings of a recipe by their accuracy on held-out images.")
    parser.add_argument("name", metavar="NAME|FILE", help="a recipe's name, or a recipe as YAML")
    parser.add_argument(
        "--vary",
        required=True,
        action="append",
        metavar="KEY=V1,V2,...",
        help="values of a field to try; KEY=KEY2=V1,V2 gives both fields the same; with several, every combination",
    )
    parser.add_argument(
        "--hold-out", required=True, type=at_least_one, metavar="N", help="images of each class to hold out and measure"
    )
    parser.add_argument(
        "--seeds", type=parse_seed, nargs="+", default=[0], metavar="N", help="seeds of each combination (0)"
    )
    parser.add_argument(
        "--jobs", type=at_least_one, default=4, metavar="N", help="runs side by side on a GPU (%(default)s)"
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads, as for train.py")
    add_val_interval(parser)
    add_data_options(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output") / "choose",
        metavar="DIR",
        help="holds one folder of runs per combination (%(default)s)",
    )
    parser.add_argument(
        "--first-stages",
        type=Path,
        metavar="DIR",
        help="folder of the runs that a second stage starts from, which must be there and hold out the same images "
        "(without it: those in output, else checkpoints in LTZOO_HUB or the package)",
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the accuracies")
    add_precision_options(add_field_options(parser))
    return parser


def read_varied(text: str) -> Varied:
    """Parse `KEY=V1,V2`, or `KEY=KEY2=V1,V2` for keys with a common value; values are YAML.

    Raises:
        InputError: a key or the values are missing, or are not YAML.
    """
    *keys, values = text.split("=")
    if not (keys and all(keys) and values):
        raise InputError(f"--vary must be KEY=V1,V2,..., as in --vary perturbation.rho=0.05,0.1, not {text!r}")
    _, found = parse_setting(f"{keys[0]}=[{values}]", "--vary")
    if not found:
        raise InputError(f"--vary {text!r} names no value; write KEY=V1,V2,...")
    return Varied(tuple(keys), tuple(found))


def command(arguments: argparse.Namespace) -> None:
    """Train every combination, print one row for each, and name the best."""
    recipe = requested_recipe(arguments.name, arguments)
    varied = [read_varied(text) for text in arguments.vary]
    keys = [key for each in varied for key in each.keys]
    if len(set(keys)) < len(keys):
        raise InputError(f"a field is varied twice: {', '.join(keys)}; name each once")
    tried = [
        {key: value for each, value in zip(varied, values, strict=True) for key in each.keys}
        for values in itertools.product(*(each.values for each in varied))
    ]
    recipes = [override(recipe, settings) for settings in tried]
    check_first_stages(recipes, arguments.first_stages)
    options = TrainOptions(
        arguments.data_dir,
        arguments.output,
        cache_features=features_folder(arguments),
        hold_out=arguments.hold_out,
        download=arguments.download,
        resume=True,
        val_interval=ValInterval.parse(arguments.val_interval),
        threads=arguments.threads,
    )
    jobs = [
        (
            changed,
            replace(
                options,
                output=arguments.output / folder_name(settings),
                first_stages=first_stages(changed, number, arguments.first_stages),
                seed=number,
            ),
        )
        for settings, changed in zip(tried, recipes, strict=True)
        for number in arguments.seeds
    ]
    alike = [list(group) for _, group in itertools.groupby(jobs, lambda job: job[0].precision)]
    try:
        runs = [folder.path for group in alike for folder in train_all(group, side_by_side=arguments.jobs)]
    except CaptureError as error:
        print(f"the step cannot be captured: {error}; going on eagerly in a new process", file=sys.stderr)
        resume_in_new_process([str(Path(__file__).resolve()), *arguments.argv])
    seeds = len(arguments.seeds)
    if not is_main_process():
        return
    records = [
        {"values": settings, **summarize_runs(runs[seeds * k : seeds * (k + 1)])[0]} for k, settings in enumerate(tried)
    ]
    best = max(records, key=lambda record: record["overall"]["mean"])
    print(f"{recipe.name}: accuracy in per cent on {arguments.hold_out} held-out images per class, last epoch")
    print(table(varied, records))
    print(f"best overall: {shlex.join(part for key, value in best['values'].items() for part in _set(key, value))}")
    if arguments.json:
        document = {"recipe": recipe.name, "hold_out": arguments.hold_out, "rows": records, "best": best["values"]}
        write_text(arguments.json, json.dumps(document, indent=1) + "\n")


def first_stages(recipe: Recipe, seed: int, given: Path | None) -> Path | None:
    """Return the folder that must hold a second stage's first; None to take a checkpoint in LTZOO_HUB or the package.

    Args:
        recipe: the recipe to train.
        seed: its seed.
        given: the folder that the user named; without it, a run in `output` comes before these checkpoints.
    """
    if given is not None or not isinstance(recipe.start, FirstStage):
        return given
    usual, name = Path("output"), recipe.start.recipe
    own = usual / get_recipe(name).name / f"seed{seed}"
    return None if not own.exists() and find_first_stage(name, usual, seed) else usual


def table(varied: Sequence[Varied], records: Sequence[Mapping[str, Any]]) -> str:
    """Format one row per combination: values, mean ± standard deviation of each accuracy, n."""
    rows = [
        [
            *(as_text(record["values"][each.keys[0]]) for each in varied),
            *(str(Spread(**record[key])) if key in record else "" for key in _ACCURACIES),
            str(record["n"]),
        ]
        for record in records
    ]
    return markdown_table([*(" = ".join(each.keys) for each in varied), *_ACCURACIES, "n"], rows)


def folder_name(settings: Mapping[str, Any]) -> str:
    """Return the folder name of a combination."""
    return re.sub(r"[^\w.,=+-]+", "_", ",".join(f"{key}={as_text(value)}" for key, value in settings.items()))


def as_text(value: Any) -> str:
    """Format a value for `--set`."""
    return value if isinstance(value, str) else json.dumps(value)


def _set(key: str, value: Any) -> tuple[str, str]:
    return "--set", f"{key}={as_text(value)}"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = build_parser()
    parser.set_defaults(argv=sys.argv[1:] if argv is None else argv)
    return run(parser, command, argv)


if __name__ == "__main__":
    sys.exit(main())
