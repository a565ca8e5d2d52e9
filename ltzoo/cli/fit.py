"""`ltzoo fit`: from a folder of images to a model in one command.

It inspects the images, prints which recipe it will train and how long that will take, trains it, and measures it. Each
part is a command of its own, which is printed: `inspect`, `train`, `validate` and `posthoc`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ltzoo.cli import train
from ltzoo.cli.data_location import open_splits
from ltzoo.cli.fit_plan import check_recipe, make_plan
from ltzoo.cli.inspect import inspect_images
from ltzoo.cli.parser import Parser, run
from ltzoo.cli.recipe_options import check_first_stages, requested_recipe
from ltzoo.cli.recipe_suggestion import SHARE
from ltzoo.data import NATURAL_BENCHMARKS
from ltzoo.data.files import ImageFiles, check_coverage, hold_out_files, profile_files
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe

if TYPE_CHECKING:
    from ltzoo.train import RunFolder, TrainOptions

_OWN = ("--dry-run", "--fresh")
"""Options that `ltzoo train` does not have."""


def build_parser(prog: str) -> Parser:
    """Make the parser: that of `ltzoo train`, but for the recipe, which need not be named, and the data."""
    parser = Parser(
        prog=prog,
        description="Train a model on a folder of your own images, and measure it: DIR/CLASS/*.jpg, or DIR/train/ and "
        "DIR/val/. The recipe is the one that ltzoo inspect suggests, unless --recipe names another. It is "
        "fine-tuned from timm's weights, which are downloaded, unless --initial-checkpoint or --fresh says otherwise. "
        "All options of ltzoo train can follow DIR.",
        examples=[
            "ltzoo fit photos --dry-run",
            "ltzoo fit photos --arch convnext_tiny.fb_in22k --epochs 10",
            "ltzoo fit photos --recipe resnet50_imagefolder_ce_sgd --fresh",
        ],
    )
    parser.add_argument("data_dir", type=Path, metavar="DIR", help="where the images are: --data-dir of train")
    parser.add_argument(
        "--recipe", metavar="NAME|FILE", help="train this recipe for image folders instead of the suggested one"
    )
    parser.add_argument("--fresh", action="store_true", help="start from fresh weights; nothing is downloaded")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be trained and how long, then stop; timm's weights are not downloaded for that",
    )
    parser.add_argument("--download", action="store_true", help="download a Hub data set that is not there")
    train.add_run_options(parser)
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Inspect, plan, train and measure."""
    first, *given = arguments.argv
    _check(arguments, first)
    words = [word for word in given if word not in _OWN]
    benchmark = NATURAL_BENCHMARKS["imagefolder"]
    kept, measured = open_splits(arguments, benchmark, arguments.hold_out)
    no_test = measured is None
    if measured is None:
        kept, measured = hold_out_files(kept, SHARE)
    check_coverage(kept, measured)
    foreseen = make_plan(arguments, words, profile_files(kept, measured, quick=True), no_test)
    _check_run(arguments, foreseen.words, (kept, measured))
    found = inspect_images(arguments, benchmark, kept, measured, held_out=no_test or arguments.hold_out is not None)
    plan = make_plan(arguments, words, found.profile, no_test)
    found.print(arguments.data_dir)
    print(plan, flush=True)
    _fit(arguments, plan.words)


def _requested(words: list[str]) -> tuple[argparse.Namespace, Recipe, "TrainOptions", "RunFolder"]:
    """Parse the words of `ltzoo train`; with the arguments, the run that they ask for."""
    chosen = train.build_parser("ltzoo fit").parse_args(words)
    recipe = requested_recipe(chosen.recipe[0], chosen)
    check_first_stages([recipe], chosen.first_stages)

    from ltzoo.train import RunFolder

    options = replace(train.train_options(chosen), seed=chosen.seed[0])
    return chosen, recipe, options, RunFolder(options.output / recipe.name / f"seed{options.seed}")


def _check_run(arguments: argparse.Namespace, words: list[str], splits: Sequence[ImageFiles]) -> None:
    """Check what training would refuse before it opens an image, so that no one waits for it while images are opened.

    Args:
        arguments: those of `ltzoo fit`.
        words: those of `ltzoo train`.
        splits: the images.
    """
    _, recipe, options, folder = _requested(words)

    from ltzoo.train.images import check_outputs
    from ltzoo.train.preparation import check_before_images
    from ltzoo.train.processes import join_processes

    for files in splits:
        check_outputs(files, options)
    join_processes()
    check_before_images(recipe, options, folder, only_timed=arguments.dry_run)


def _fit(arguments: argparse.Namespace, words: list[str]) -> None:
    """Say how long the training takes, train and measure."""
    chosen, recipe, options, folder = _requested(words)

    from ltzoo.cli.fit_report import report_fit
    from ltzoo.cli.run_time import estimate_run_time

    there = folder.path.exists()
    if arguments.dry_run and there and not options.resume:
        print(f"note: {folder.path} has a run already; to train, add --resume to continue it, or name another --output")
    if options.resume and there:
        print(f"time: not measured; the run in {folder.path} is resumed")
    else:
        time = estimate_run_time(recipe, options, folder)
        print(f"time: {time or 'not measured, since the head alone is computed, or trained on features'}", flush=True)
    if arguments.dry_run:
        return
    train.train_recipes(chosen, ["fit", *arguments.argv])
    report_fit(folder, chosen)


def _check(arguments: argparse.Namespace, first: str) -> None:
    """Check what `ltzoo train` allows and this command does not, and the recipe, before any image is looked for."""
    if Path(first) != arguments.data_dir:
        raise InputError(f"the folder of images comes first: ltzoo fit {arguments.data_dir} ...; found {first}")
    if len(arguments.seed) > 1:
        raise InputError("fit trains one run, and --seed names several; name one, or use ltzoo train")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "fit runs in one process; launch the line ltzoo train that ltzoo fit --dry-run prints on several"
        )
    check_recipe(arguments)


def main(argv: list[str] | None = None, prog: str = "ltzoo fit") -> int:
    """Run the command; returns the exit code."""
    parser = build_parser(prog)
    parser.set_defaults(argv=sys.argv[1:] if argv is None else argv)
    return run(parser, command, argv)
