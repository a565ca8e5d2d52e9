"""`validate.py` and `ltzoo validate`: measure a checkpoint.

What measures is imported once the checkpoint is found, so that help and a wrong name need not wait for it.
"""

import argparse
from pathlib import Path

from ltzoo.cli.arguments import (
    add_data_options,
    add_device_option,
    add_files_options,
    add_skip_option,
    at_least_one,
    held_out,
    not_below_zero,
    writable,
)
from ltzoo.cli.parser import Parser, run
from ltzoo.data import GROUP_RULES
from ltzoo.errors import InputError
from ltzoo.registry import find_checkpoint

_SUFFIXES = {
    "picture": (".png",),
    "reliability": (".png",),
    "confusion": (".csv", ".png"),
    "logits": (".safetensors",),
}
"""Options that write files, and how the names of those must end."""


def build_parser(prog: str) -> Parser:
    """Make the parser. Flags are timm's wherever timm has them."""
    parser = Parser(
        prog=prog,
        description="Measure a checkpoint on its benchmark's test set, in float32: accuracy overall and of the head "
        "(many-shot), mid (medium-shot) and tail (few-shot) classes.",
        examples=[
            "ltzoo validate --model resnet20_digitslt_ce_sgd",
            "ltzoo validate --model local-dir:output/resnet50_imagefolder_vs_ssesam/seed0/checkpoint --data-dir photos",
        ],
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="a recipe's name, hf-hub:user/repo[@revision] or local-dir:path"
    )
    add_data_options(parser)
    files = add_files_options(parser)
    files.add_argument(
        "--hold-out",
        "--holdout",
        type=held_out,
        metavar="N",
        help="measure on the images held out in training",
    )
    add_skip_option(files)
    files.add_argument(
        "-j",
        "--workers",
        type=not_below_zero,
        default=0,
        metavar="N",
        help="processes that decode images (%(default)s)",
    )
    parser.add_argument(
        "--worst",
        type=at_least_one,
        metavar="N",
        help="also print the N classes with the lowest accuracy, and what they are most often taken for",
    )
    parser.add_argument("--groups", choices=list(GROUP_RULES), help="rule of the groups to show (the protocol's own)")
    parser.add_argument(
        "--tta",
        choices=["flip", "crops"],
        help="test-time augmentation: average the logits of each image and its mirror image (flip), or of its four "
        "corners and its centre at a larger resolution (crops; images in files)",
    )
    add_device_option(parser)
    files = parser.add_argument_group("files to write")
    files.add_argument("--json", type=writable, metavar="FILE", help="the figures")
    files.add_argument("--results-file", type=writable, metavar="CSV", help="append a row in timm's columns")
    files.add_argument("--picture", type=writable, metavar="PNG", help="accuracy of each class over the class counts")
    files.add_argument(
        "--reliability", type=writable, metavar="PNG", help="accuracy over confidence, with the calibration error"
    )
    files.add_argument(
        "--confusion",
        type=writable,
        metavar="FILE",
        help="confusion matrix, as counts (.csv) or drawn (.png)",
    )
    files.add_argument(
        "--logits", type=writable, metavar="FILE", help="test logits and labels (.safetensors), as input of posthoc"
    )
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Find the checkpoint and measure it."""
    _check_files(arguments)
    folder = find_checkpoint(arguments.model)

    from ltzoo.cli.measure_checkpoint import measure_checkpoint

    measure_checkpoint(arguments, folder)


def _check_files(arguments: argparse.Namespace) -> None:
    """Check the suffix of each file to write, and that no two options name the same file."""
    taken: dict[Path, str] = {}
    for option in ("json", "results_file", *_SUFFIXES):
        path, flag = getattr(arguments, option), f"--{option.replace('_', '-')}"
        if path is None:
            continue
        suffixes = _SUFFIXES.get(option)
        if suffixes and path.suffix not in suffixes:
            raise InputError(f"{flag} cannot write {path.name!r}; end the name in {' or '.join(suffixes)}")
        other = taken.setdefault(path.resolve(), flag)
        if other != flag:
            raise InputError(f"{other} and {flag} name the same file {path}; name two")


def main(argv: list[str] | None = None, prog: str = "validate.py") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
