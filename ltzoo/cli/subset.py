"""`python -m ltzoo subset`: write down which images a benchmark's training set is."""

import argparse
import json

from ltzoo.atomic_write import atomic_write
from ltzoo.cli.parser import Parser, add_data_options, run, writable
from ltzoo.data import SUBSET_RULES, get_benchmark, load_subset


def main(argv: list[str] | None = None, prog: str = "subset") -> int:
    """Write a subset file; returns the exit code."""
    parser = Parser(
        prog=prog, description="Write a benchmark's training images, by their place in the data set, as JSON."
    )
    parser.add_argument("benchmark", help="such as cifar100lt")
    parser.add_argument("--rule", choices=list(SUBSET_RULES), default="cao", help="how they are chosen (%(default)s)")
    parser.add_argument(
        "--output", required=True, type=writable, metavar="FILE", help="train.py --subset takes it back"
    )
    add_data_options(parser)

    def command(arguments: argparse.Namespace) -> None:
        benchmark = get_benchmark(arguments.benchmark)
        subset = load_subset(benchmark, arguments.rule, arguments.data_dir, arguments.download)
        with atomic_write(arguments.output) as fresh:
            fresh.write_text(json.dumps(subset.to_dict()) + "\n", encoding="utf-8")
        print(f"{len(subset.indices)} images in the order {subset.layout!r}, sha256 {subset.sha256}")

    return run(parser, command, argv)
