"""`train.py` and `ltzoo train`: train recipes.

The trainer is imported once the recipes are known, so that help and a wrong name or setting need not wait for it.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ltzoo.cli.arguments import (
    add_data_options,
    add_files_options,
    add_half,
    add_save_epochs,
    add_skip_option,
    add_val_interval,
    at_least_one,
    not_below_zero,
    parse_held_out,
    parse_seed,
)
from ltzoo.cli.new_process import resume_in_new_process
from ltzoo.cli.parser import Parser, is_main_process, run
from ltzoo.cli.recipe_options import (
    add_field_options,
    add_precision_options,
    check_first_stages,
    features_folder,
    requested_recipe,
    stated_of_start,
)

if TYPE_CHECKING:
    from ltzoo.train import TrainOptions


def build_parser(prog: str) -> Parser:
    """Make the parser. Flags are timm's wherever timm has them."""
    parser = Parser(
        prog=prog,
        description="Train a recipe and measure it; the run is written to OUTPUT/NAME/seedN.",
        examples=[
            "ltzoo train --recipe resnet20_digitslt_vs_ssesam",
            "ltzoo train --recipe resnet50_imagefolder_vs_ssesam --data-dir photos --pretrained",
            "accelerate launch -m ltzoo train --recipe resnet32_cifar100lt_vs_ssesam --data-dir data",
        ],
    )
    parser.add_argument(
        "--recipe", required=True, nargs="+", metavar="NAME|FILE", help="names of recipes, or YAML files of recipes"
    )
    add_data_options(parser)
    add_run_options(parser)
    return parser


def add_run_options(parser: Parser) -> None:
    """Add the options of a run: all but those that name recipes and data."""
    files = add_files_options(parser)
    add_skip_option(files)
    files.add_argument(
        "--image-cache",
        type=Path,
        metavar="DIR",
        help="keep the images of --set input.shorter_side=PIXELS here",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("output"), metavar="DIR", help="folder of the run folders (%(default)s)"
    )
    parser.add_argument(
        "--first-stages",
        type=Path,
        metavar="DIR",
        help="folder of the runs that second stages start from, which must be there (without it: those in "
        "--output, else checkpoints in LTZOO_HUB or the package)",
    )
    parser.add_argument(
        "--seed",
        type=parse_seed,
        nargs="+",
        default=[0],
        metavar="N",
        help="seed of weights, order, augmentation and noise (0); several seeds are trained side by side on a GPU, one "
        "after the other on a CPU",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run, or begin it")
    add_save_epochs(parser)
    add_half(parser)

    fields = add_field_options(parser)
    fields.add_argument("--subset", type=Path, metavar="FILE", help="train on the images that a subset file names")
    fields.add_argument(
        "--hold-out",
        "--holdout",
        type=parse_held_out,
        metavar="N",
        help="train without N images per class and measure accuracy on those instead of the test set, to choose "
        "settings; for images in files, N below 1 is a share of each class",
    )

    how = parser.add_argument_group("how it runs")
    add_precision_options(how)
    add_val_interval(how)
    how.add_argument(
        "--channels-last",
        action=argparse.BooleanOptionalAction,
        help="channels-last memory format (chosen automatically on CPUs and in reduced precision)",
    )
    how.add_argument("--eager", action="store_true", help="on CUDA, launch kernels one by one instead of as one graph")
    how.add_argument(
        "--side-by-side",
        type=at_least_one,
        metavar="N",
        help="on a GPU, train N of the runs at a time (all of them); on a CPU it is always one",
    )
    how.add_argument("--torchcompile", nargs="?", const="inductor", metavar="BACKEND", help="compile the model")
    how.add_argument(
        "-j", "--workers", type=not_below_zero, metavar="N", help="processes that decode images (one per core, up to 8)"
    )
    how.add_argument("--sync-bn", action="store_true", help="BatchNorm over the images of all processes")
    how.add_argument(
        "--threads", type=at_least_one, metavar="N", help="CPU threads (on a CPU 1 for small images, else all cores)"
    )
    how.add_argument(
        "--tune",
        action="store_true",
        help="on a CPU, first time a few steps with other threads and memory formats and, if a run is long, compiled, "
        "and train with the fastest; settings given by flags stay fixed",
    )
    how.add_argument(
        "--log-wandb", action="append_const", dest="log_with", const="wandb", help="same as --log-with wandb"
    )
    how.add_argument(
        "--log-with", action="append", metavar="NAME", help="one of Accelerate's trackers, such as tensorboard"
    )


def train_options(arguments: argparse.Namespace) -> "TrainOptions":
    """Return the options of a run, without its seed."""
    from ltzoo.train import TrainOptions, ValInterval

    return TrainOptions(
        data_dir=arguments.data_dir,
        output=arguments.output,
        first_stages=arguments.first_stages,
        subset=arguments.subset,
        hold_out=arguments.hold_out,
        download=arguments.download,
        resume=arguments.resume,
        save_epochs=arguments.save_epochs,
        half=arguments.half,
        val_interval=ValInterval.parse(arguments.val_interval),
        channels_last=arguments.channels_last,
        capture=not arguments.eager,
        compile_backend=arguments.torchcompile,
        threads=arguments.threads,
        tune=arguments.tune,
        workers=arguments.workers,
        sync_bn=arguments.sync_bn,
        image_root=arguments.image_root,
        image_column=arguments.image_column,
        label_column=arguments.label_column,
        image_suffix=arguments.image_suffix,
        class_folder=arguments.class_folder,
        skip_unreadable=arguments.skip_unreadable,
        image_cache=arguments.image_cache,
        cache_features=features_folder(arguments),
        trackers=tuple(dict.fromkeys(arguments.log_with or ())),
        start_stated=stated_of_start(arguments),
    )


def command(arguments: argparse.Namespace) -> None:
    """Train, then print each run's figures and where its files are."""
    train_recipes(arguments, ["train", *arguments.argv])


def train_recipes(arguments: argparse.Namespace, again: list[str]) -> None:
    """Train, and print each run's figures as soon as it is finished.

    Args:
        arguments: those of `ltzoo train`.
        again: the words of the ltzoo command that is run; where a capture fails, a new process resumes it.
    """
    recipes = [requested_recipe(name, arguments) for name in arguments.recipe]
    check_first_stages(recipes, arguments.first_stages)

    from ltzoo.cli.train_report import report
    from ltzoo.train import CaptureError, train_all

    options = train_options(arguments)
    jobs = [(recipe, replace(options, seed=seed)) for recipe in recipes for seed in arguments.seed]
    try:
        train_all(
            jobs,
            lambda recipe, folder: print(report(recipe, folder)) if is_main_process() else None,
            arguments.side_by_side,
        )
    except CaptureError as error:
        print(f"the step cannot be captured: {error}; going on eagerly in a new process", file=sys.stderr)
        resume = [] if arguments.resume else ["--resume"]
        resume_in_new_process(["-m", "ltzoo", *again, *resume])


def main(argv: list[str] | None = None, prog: str = "train.py") -> int:
    """Run the command; returns the exit code."""
    parser = build_parser(prog)
    parser.set_defaults(argv=sys.argv[1:] if argv is None else argv)
    return run(parser, command, argv)
