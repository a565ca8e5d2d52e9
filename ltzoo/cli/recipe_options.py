"""Options that change a recipe: those of its fields, and `--set` for any field."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser
from ltzoo.data import Augmentation
from ltzoo.errors import InputError
from ltzoo.recipes import FirstStage, Recipe, Trainable, get_recipe, override, parse_setting, read_recipe

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


_LONGEST = 200
"""Characters of a text for the model card."""

_AUGMENTATION = ("aa", "color_jitter", "mixup", "cutmix", "mixup_off_epoch")
"""Options that augment images."""


_LORA_RANK = 8
"""That of `--tuning lora`, unless the recipe has one."""


_PRECISIONS = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}


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
        "--tuning",
        choices=["lora", "norm", "bias"],
        help="train the classifier and, below it, LoRA adapters (needs peft), normalisation layers or biases",
    )
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
    for what, meaning in (("license", "licence"), ("data", "pretraining data")):
        fields.add_argument(
            f"--initial-{what}",
            metavar="TEXT",
            help=f"{meaning} of the weights of --initial-checkpoint, for the model card",
        )
    fields.add_argument(
        "--img-size",
        type=at_least_one,
        metavar="PIXELS",
        help="height and width, for images in files, and for CIFAR where it is enlarged",
    )
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
    if arguments.img_size is not None and recipe.input is None:
        raise InputError(f"--img-size is for images in files; those of {recipe.benchmark} have a fixed size")
    if arguments.head_only:
        settings["trainable"] = asdict(Trainable("head", "frozen"))
    if arguments.tuning:
        if arguments.head_only:
            raise InputError("--head-only trains nothing below the classifier, --tuning does; choose one")
        rank = (recipe.trainable.lora_rank or _LORA_RANK) if arguments.tuning == "lora" else None
        settings["trainable"] = asdict(Trainable(arguments.tuning, "frozen", rank))
    asked = any(getattr(arguments, flag) is not None for flag in _AUGMENTATION)
    asked = asked or any(text.startswith("views") for text in arguments.set)
    # A loss of several views keeps them: `train` then says that it cannot cache their features.
    if arguments.cache_features is not None and not recipe.head.computed and not asked and recipe.loss.views == 1:
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


def check_first_stages(recipes: Sequence[Recipe], first_stages: Path | None) -> None:
    """Check that a folder of first stages is given only where a recipe starts from one.

    Args:
        recipes: the recipes to train.
        first_stages: what `--first-stages` names; None without it.

    Raises:
        InputError: none of the recipes is a second stage.
    """
    if first_stages is not None and not any(isinstance(recipe.start, FirstStage) for recipe in recipes):
        names = ", ".join(dict.fromkeys(recipe.name for recipe in recipes))
        raise InputError(f"--first-stages is for second stages, and there is none among {names}; leave it out")


def stated_of_start(arguments: argparse.Namespace) -> dict[str, str]:
    """Return what the user states of the weights of `--initial-checkpoint`.

    Raises:
        InputError: it is stated of no such weights, or is no single line.
    """
    stated = {key: getattr(arguments, f"initial_{key}") for key in ("license", "data")}
    stated = {key: text for key, text in stated.items() if text is not None}
    for key, text in stated.items():
        if not arguments.initial_checkpoint:
            raise InputError(f"--initial-{key} describes the weights of --initial-checkpoint; name them")
        if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
            raise InputError(f"--initial-{key} must be a line of 1 to {_LONGEST} characters, not {text[:40]!r}")
    return stated


def features_folder(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of `--cache-features`; None without that option."""
    return arguments.output / "features" if arguments.cache_features is True else arguments.cache_features
