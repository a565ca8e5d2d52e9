"""`ltzoo summarize`: mean and standard deviation of finished runs over their seeds."""

import argparse
import json
from pathlib import Path

from ltzoo.atomic_write import write_text
from ltzoo.cli.arguments import writable
from ltzoo.cli.parser import Parser, run
from ltzoo.evaluate import seeds_table, summarize_runs


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Mean and standard deviation over the seeds of finished runs, one row per recipe.",
        examples=["ltzoo summarize output/resnet20_digitslt_vs_ssesam/seed*"],
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, OUTPUT/NAME/seedN")
    parser.add_argument(
        "--rule", choices=["last", "best", "paper"], default="last", help="which figures of each run (%(default)s)"
    )
    parser.add_argument("--groups", metavar="RULE", help="grouping to show (each protocol's own)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the figures")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Read the runs, print a table, write it if asked for."""
    records = summarize_runs(arguments.runs, arguments.rule, arguments.groups)
    print(seeds_table(records))
    if arguments.json:
        write_text(arguments.json, json.dumps(records, indent=1) + "\n")


def main(argv: list[str] | None = None, prog: str = "ltzoo summarize") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
