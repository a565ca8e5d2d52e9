"""`ltzoo subset`: write the indices of a benchmark's training images."""

import argparse
import json

from ltzoo.atomic_write import write_text
from ltzoo.cli.arguments import add_data_options, writable
from ltzoo.cli.parser import Parser, run
from ltzoo.data import SUBSET_RULES, get_benchmark
from ltzoo.data.memory import load_subset


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Write the indices of a benchmark's training images in the data set, as JSON.",
        examples=["ltzoo subset cifar100lt --rule first --data-dir data --output subset.json"],
    )
    parser.add_argument("benchmark", help="such as cifar100lt")
    parser.add_argument("--rule", choices=list(SUBSET_RULES), default="cao", help="how they are chosen (%(default)s)")
    parser.add_argument(
        "--output", required=True, type=writable, metavar="FILE", help="file to write, as input of train --subset"
    )
    add_data_options(parser)
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Write the file; print the number of images and the hash of their indices."""
    benchmark = get_benchmark(arguments.benchmark)
    subset = load_subset(benchmark, arguments.rule, arguments.data_dir, arguments.download)
    write_text(arguments.output, json.dumps(subset.to_dict()) + "\n")
    print(f"{len(subset.indices)} images in the order {subset.layout!r}, sha256 {subset.sha256}")


def main(argv: list[str] | None = None, prog: str = "ltzoo subset") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
