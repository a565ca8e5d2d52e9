"""`ltzoo doctor`: examine this machine in less than a minute, and recommend settings for it."""

import argparse
import json
import sys

from ltzoo.atomic_write import write_text
from ltzoo.cli.arguments import at_least_one, writable
from ltzoo.cli.parser import Parser, run


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Examine this machine in less than a minute: what it is, how fast each precision is, whether "
        "captured steps, runs side by side and several processes compute what they should, and which settings to use. "
        "Images are random; nothing is downloaded. Exit code 1 if something is wrong.",
        examples=["ltzoo doctor", "ltzoo doctor --json doctor.json"],
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="also write what was found")
    parser.add_argument(
        "--seconds",
        type=at_least_one,
        default=60,
        metavar="N",
        help="the time that it may take (%(default)s); more on a machine that has much else to do",
    )
    return parser


def command(arguments: argparse.Namespace) -> int:
    """Print what was found; returns 1 if something is wrong."""
    from ltzoo.doctor import examine

    report = examine(lambda line: print(f"{line} ...", file=sys.stderr, flush=True), arguments.seconds)
    print(report.text())
    if arguments.json:
        write_text(arguments.json, json.dumps(report.to_dict(), indent=1) + "\n")
    return int(bool(report.wrong))


def main(argv: list[str] | None = None, prog: str = "ltzoo doctor") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
