"""`validate.py` and `ltzoo validate`: measure a checkpoint.

What measures is imported once the checkpoint is found, so that help and a wrong name need not wait for it.
"""

import argparse

from ltzoo.cli.arguments import (
    add_data_options,
    add_device_option,
    add_files_options,
    add_model_option,
    add_skip_option,
    add_tta_option,
    add_workers_option,
    at_least_one,
    check_written_files,
    parse_held_out,
    writable,
)
from ltzoo.cli.parser import Parser, run
from ltzoo.data import GROUP_RULES
from ltzoo.registry import find_checkpoint

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "json": (),
    "results_file": (),
    "picture": (".png",),
    "reliability": (".png",),
    "confusion": (".csv", ".png"),
    "logits": (".safetensors",),
}
"""Options that write files, and how the names of those must end; empty for any."""


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
    add_model_option(parser)
    add_data_options(parser)
    files = add_files_options(parser)
    files.add_argument(
        "--hold-out",
        "--holdout",
        type=parse_held_out,
        metavar="N",
        help="measure on the images held out in training",
    )
    add_skip_option(files)
    add_workers_option(files)
    parser.add_argument(
        "--worst",
        type=at_least_one,
        metavar="N",
        help="also print the N classes with the lowest accuracy, and what they are most often taken for",
    )
    parser.add_argument("--groups", choices=list(GROUP_RULES), help="rule of the groups to show (the protocol's own)")
    add_tta_option(parser)
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
    check_written_files(arguments, _SUFFIXES)
    folder = find_checkpoint(arguments.model)

    from ltzoo.cli.measure_checkpoint import measure_checkpoint

    measure_checkpoint(arguments, folder)


def main(argv: list[str] | None = None, prog: str = "validate.py") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
