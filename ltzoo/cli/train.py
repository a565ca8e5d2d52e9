"""`train.py` and `ltzoo train`: train recipes.

The trainer is imported once the recipes are known, so that help and a wrong name or setting need not wait for it.
"""

import argparse
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ltzoo.cli.new_process import resume_in_new_process
from ltzoo.cli.parser import (
    Parser,
    add_data_options,
    add_files_options,
    add_save_epochs,
    add_skip_option,
    add_val_interval,
    at_least_one,
    held_out,
    is_main_process,
    not_below_zero,
    run,
    seed,
)
from ltzoo.data import Augmentation
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe, get_recipe, override, parse_setting, read_recipe

_FIELDS = {
    "batch_size": "batch_size",
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "opt": "optimizer.kind",
    "layer_decay": "optimizer.layer_decay",
    "clip_grad": "optimizer.clip_grad",
    "micro_batches": "micro_batches",
    "arch": "architecture",
    "img_size": "input.size",
    "aa": "views.0.auto_augment",
    "color_jitter": "views.0.color_jitter",
    "mixup": "views.0.mixup",
    "cutmix": "views.0.cutmix",
    "mixup_off_epoch": "views.0.mixup_off_epoch",
}
"""Options, and the field of the recipe that each sets."""

_AUGMENTATION = ("aa", "color_jitter", "mixup", "cutmix", "mixup_off_epoch")
"""Options that augment images."""

_PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


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
        help="folder of the runs that second stages start from (that of --output)",
    )
    parser.add_argument(
        "--seed",
        type=seed,
        nargs="+",
        default=[0],
        metavar="N",
        help="seed of weights, order, augmentation and noise (0); several seeds are trained side by side on a GPU, one "
        "after the other on a CPU",
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run, or begin it")
    add_save_epochs(parser)

    fields = add_field_options(parser)
    fields.add_argument("--subset", type=Path, metavar="FILE", help="train on the images that a subset file names")
    fields.add_argument(
        "--hold-out",
        "--holdout",
        type=held_out,
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
        "--threads", type=at_least_one, metavar="N", help="CPU threads (1 for small images, else all cores)"
    )
    how.add_argument(
        "--tune",
        action="store_true",
        help="on a CPU, first time a few steps with other threads and memory formats and, if a run is long, compiled, "
        "and train with the fastest; what a flag gives does not vary",
    )
    how.add_argument(
        "--log-wandb", action="append_const", dest="log_with", const="wandb", help="same as --log-with wandb"
    )
    how.add_argument(
        "--log-with", action="append", metavar="NAME", help="one of Accelerate's trackers, such as tensorboard"
    )
    return parser


def add_field_options(parser: Parser) -> argparse._ArgumentGroup:
    """Add the options that change fields of a recipe, see `requested_recipe`; returns their group."""
    fields = parser.add_argument_group("fields of the recipe (changes are recorded as overrides)")
    fields.add_argument("--epochs", type=at_least_one, metavar="N", help="scale the schedule to N epochs")
    fields.add_argument("-b", "--batch-size", type=at_least_one, metavar="N", help="images per step, of all processes")
    fields.add_argument("--lr", type=float, metavar="LR", help="learning rate")
    fields.add_argument("--weight-decay", type=float, metavar="DECAY", help="weight decay")
    fields.add_argument("--opt", choices=["sgd", "adamw", "muon"], help="base optimizer")
    fields.add_argument(
        "--layer-decay",
        type=float,
        metavar="FACTOR",
        help="learning rate factor per layer group",
    )
    fields.add_argument("--head-only", action="store_true", help="train the classifier only")
    fields.add_argument(
        "--cache-features",
        nargs="?",
        const=True,
        type=Path,
        metavar="DIR",
        help="with --head-only: compute the features of un-augmented images once, keep them in DIR (OUTPUT/features), "
        "and train the head in seconds",
    )
    fields.add_argument("--arch", metavar="NAME[.TAG]", help="another architecture, any of timm's")
    fields.add_argument("--pretrained", action="store_true", help="start from timm's weights, downloaded")
    fields.add_argument(
        "--initial-checkpoint",
        metavar="NAME|FILE",
        help="start from a checkpoint (as for validate --model) or a file",
    )
    fields.add_argument("--img-size", type=at_least_one, metavar="PIXELS", help="height and width, for images in files")
    fields.add_argument("--aa", metavar="POLICY", help="augmentation policy, such as rand-m9-mstd0.5")
    fields.add_argument(
        "--color-jitter",
        type=float,
        metavar="FACTOR",
        help="of brightness, contrast and saturation",
    )
    fields.add_argument("--mixup", type=float, metavar="ALPHA", help="alpha of mixup")
    fields.add_argument("--cutmix", type=float, metavar="ALPHA", help="alpha of CutMix")
    fields.add_argument(
        "--mixup-off-epoch", type=at_least_one, metavar="N", help="no mixup and CutMix from this epoch on, from 0"
    )
    fields.add_argument("--clip-grad", type=float, metavar="NORM", help="clip the gradient to this norm")
    fields.add_argument(
        "--micro-batches", type=at_least_one, metavar="N", help="compute a batch in N parts, one after the other"
    )
    fields.add_argument("--model-ema", action="store_true", help="evaluate and keep a moving average of the weights")
    fields.add_argument("--model-ema-decay", type=float, metavar="DECAY", help="decay of --model-ema per step (0.9998)")
    fields.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other field, named as ltzoo show prints it"
    )
    return fields


def add_precision_options(group: argparse._ArgumentGroup) -> None:
    """Add `--amp` and `--amp-dtype`, see `requested_recipe`."""
    group.add_argument("--amp", action="store_true", help="forward passes in reduced precision")
    group.add_argument("--amp-dtype", choices=["float16", "bfloat16"], help="that of --amp (float16)")


def requested_recipe(name: str, arguments: argparse.Namespace) -> Recipe:
    """Look up or read a recipe, then change what the arguments change: epochs first, `--set` last."""
    recipe = read_recipe(Path(name)) if name.endswith((".yaml", ".yml")) else get_recipe(name)
    if arguments.epochs is not None:
        recipe = recipe.with_epochs(arguments.epochs)
    settings: dict[str, Any] = {}
    for flag, key in _FIELDS.items():
        if getattr(arguments, flag) is not None:
            settings[key] = getattr(arguments, flag)
    if arguments.img_size is not None and not recipe.natural:
        raise InputError(f"--img-size is for images in files; those of {recipe.benchmark} have a fixed size")
    if arguments.head_only:
        settings |= {"trainable.weights": "head", "trainable.batchnorm": "frozen"}
    asked = any(getattr(arguments, flag) is not None for flag in _AUGMENTATION)
    asked = asked or any(text.startswith("views") for text in arguments.set)
    if arguments.cache_features is not None and not recipe.head.computed and not asked:
        settings["views"] = [asdict(Augmentation(crop_padding=0, horizontal_flip=False))]
    if arguments.pretrained and arguments.initial_checkpoint:
        raise InputError("--pretrained and --initial-checkpoint name two places to start from; choose one")
    if arguments.pretrained:
        settings["start"] = {"name": "pretrained"}
    if arguments.initial_checkpoint:
        settings["start"] = {"name": "weights", "of": arguments.initial_checkpoint}
    if arguments.model_ema_decay is not None and not arguments.model_ema:
        raise InputError("--model-ema-decay says how --model-ema averages; add --model-ema")
    if arguments.model_ema:
        settings["ema_decay"] = 0.9998 if arguments.model_ema_decay is None else arguments.model_ema_decay
    if arguments.amp_dtype and not arguments.amp:
        raise InputError("--amp-dtype says which precision --amp takes; add --amp")
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched not in _PRECISIONS:
        raise InputError(f"Accelerate is set to mixed precision {launched!r}; there are {', '.join(_PRECISIONS)}")
    if arguments.amp:
        settings["precision"] = arguments.amp_dtype or "float16"
    elif launched != "no":
        settings["precision"] = _PRECISIONS[launched]
    return override(recipe, settings | dict(parse_setting(text) for text in arguments.set))


def features_folder(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of `--cache-features`; None without that option."""
    return arguments.output / "features" if arguments.cache_features is True else arguments.cache_features


def command(arguments: argparse.Namespace) -> None:
    """Train, then print each run's figures and where its files are."""
    recipes = [requested_recipe(name, arguments) for name in arguments.recipe]

    from ltzoo.cli.train_report import report
    from ltzoo.train import CaptureError, TrainOptions, ValInterval, train_all

    options = TrainOptions(
        data_dir=arguments.data_dir,
        output=arguments.output,
        first_stages=arguments.first_stages,
        subset=arguments.subset,
        hold_out=arguments.hold_out,
        download=arguments.download,
        resume=arguments.resume,
        save_epochs=arguments.save_epochs,
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
    )
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
        resume_in_new_process(["-m", "ltzoo", "train", *arguments.argv, *resume])


def main(argv: list[str] | None = None, prog: str = "train.py") -> int:
    """Run the command; returns the exit code."""
    parser = build_parser(prog)
    parser.set_defaults(argv=sys.argv[1:] if argv is None else argv)
    return run(parser, command, argv)
