"""Submit an external model: measure it like the zoo's models, and store the result beside its claimed accuracy.

`python hub/submit.py --model timm:NAME|MODULE:FUNCTION [--weights FILE] --benchmark NAME --claimed 52.8 --source URL`
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from folders import RESULTS
from ltzoo.cli.arguments import add_data_options, add_device_option
from ltzoo.cli.parser import Parser, run
from ltzoo.data import get_benchmark, make_groups
from ltzoo.data.memory import load_test
from ltzoo.errors import InputError
from ltzoo.evaluate import accuracy_table
from ltzoo.report import (
    Claim,
    check_name,
    check_url,
    has_result,
    load_weights,
    make_model,
    measure_external_model,
    write_result,
)
from ltzoo.train.device import device_name


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="submit.py", description="Measure an external model and store its result.")
    parser.add_argument(
        "--model",
        required=True,
        metavar="timm:NAME|MODULE:FUNCTION",
        help="a model of timm, or a function without arguments that returns the model",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="its state dict as safetensors")
    parser.add_argument("--benchmark", required=True, metavar="NAME", help="what it was trained on, such as cifar100lt")
    parser.add_argument("--claimed", required=True, type=_per_cent, help="claimed overall accuracy in per cent")
    parser.add_argument("--source", required=True, type=_url, metavar="URL", help="the URL of the claim")
    parser.add_argument("--name", type=_name, help="the name in tables (that of --model)")
    parser.add_argument("--groups", metavar="RULE", default="count", help="grouping to put first (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where results are kept (results)")
    add_data_options(parser)
    add_device_option(parser)
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure the model, print and write the result."""
    benchmark = get_benchmark(arguments.benchmark)
    if arguments.model.startswith("timm:") and arguments.weights is None:
        raise InputError(f"{arguments.model} has no weights; give them with --weights")
    make_groups(arguments.groups, benchmark)
    model = make_model(arguments.model, benchmark)
    weights_sha256 = None if arguments.weights is None else load_weights(model, arguments.weights)
    test = load_test(benchmark, arguments.data_dir, arguments.download)
    claim = Claim(arguments.claimed, arguments.source)
    result = replace(
        measure_external_model(model, benchmark, test, arguments.groups, claim, arguments.device),
        model=arguments.name or arguments.model,
        architecture=arguments.model,
        run={"device": arguments.device.type, "machine": device_name(arguments.device)},
        weights_sha256=weights_sha256,
    )
    written = has_result(arguments.results, result)
    path = arguments.results / result.path if written else write_result(arguments.results, result)
    figures = result.figures["last"]
    rows: dict[str, Mapping[str, float | None]] = {"measured": figures.headline}
    rows[f"claimed ({claim.source})"] = {"overall": claim.overall}
    print(f"{result.model} on {benchmark.name}, {figures.images} test images, groups by the rule {arguments.groups}")
    print(accuracy_table(rows))
    print(f"{path}; hub/report.py shows it")


def _per_cent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be per cent from 0 to 100, not {text!r}")
    return value


def _url(text: str) -> str:
    try:
        check_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _name(text: str) -> str:
    try:
        check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
