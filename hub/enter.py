"""Measure anybody's model with our evaluator, and keep the result beside what is claimed of it.

`python hub/enter.py --model timm:NAME|MODULE:FUNCTION [--weights FILE] --benchmark NAME --claimed 52.8 --source URL`
"""

import argparse
import hashlib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from collect import RESULTS
from ltzoo.cli.parser import Parser, add_data_options, add_device_option, run
from ltzoo.data import Benchmark, get_benchmark, load_test, make_groups
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import accuracy_table, evaluate_model
from ltzoo.report import Claim, Result, check_name, is_there, write_result
from ltzoo.train.compute import device_name


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="enter.py", description="Measure anybody's model, and keep what is claimed beside it.")
    parser.add_argument(
        "--model",
        required=True,
        metavar="timm:NAME|MODULE:FUNCTION",
        help="one of timm's, or a function without arguments that returns the model",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="its state dict as safetensors")
    parser.add_argument("--benchmark", required=True, metavar="NAME", help="what it was trained on, cifar100lt")
    parser.add_argument(
        "--claimed", required=True, type=_per_cent, help="overall accuracy that is claimed, in per cent"
    )
    parser.add_argument("--source", required=True, type=_url, metavar="URL", help="where it is claimed")
    parser.add_argument("--name", type=_name, help="what to call it (as --model says)")
    parser.add_argument("--groups", metavar="RULE", default="count", help="grouping to show (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where results are kept (results)")
    add_data_options(parser)
    add_device_option(parser)
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    benchmark = get_benchmark(arguments.benchmark)
    if arguments.model.startswith("timm:") and arguments.weights is None:
        raise InputError(f"{arguments.model} is a network without weights; name them with --weights")
    make_groups(arguments.groups, benchmark)
    model = make_model(arguments.model, benchmark)
    weights_hash = None if arguments.weights is None else load_weights(model, arguments.weights)
    test = load_test(benchmark, arguments.data_dir, arguments.download)
    figures = evaluate_model(
        _Outputs(model, len(benchmark.class_counts)),
        benchmark,
        test,
        arguments.groups,
        "as it was given",
        device=arguments.device,
    )
    claim = Claim(arguments.claimed, arguments.source)
    result = Result(
        model=arguments.name or arguments.model,
        benchmark=benchmark.name,
        architecture=arguments.model,
        seed=None,
        recipe=None,
        figures={"last": figures},
        epochs={},
        curve={},
        run={"device": arguments.device.type, "machine": device_name(arguments.device)},
        versions={"torch": str(torch.__version__), "timm": timm.__version__},
        subset_layout=None,
        subset_sha256=None,
        weights_sha256=weights_hash,
        weights=None,
        claim=claim,
    )
    there = is_there(arguments.results, result)
    path = arguments.results / result.place if there else write_result(arguments.results, result)
    rows: dict[str, Mapping[str, float | None]] = {"measured": figures.headline}
    rows[f"claimed ({claim.source})"] = {"overall": claim.overall}
    print(f"{result.model} on {benchmark.name}, {figures.images} test images, groups by the rule {arguments.groups}")
    print(accuracy_table(rows))
    print(f"{path}; hub/report.py shows it")


def make_model(name: str, benchmark: Benchmark) -> nn.Module:
    """Make a model that a name stands for.

    Args:
        name: `timm:NAME`, or `MODULE:FUNCTION`, looked for in the working directory too.
        benchmark: how many classes it is to have, and how many channels its images have.

    Raises:
        InputError: there is no such model or function, or it fails, or returns no model.
    """
    place, colon, word = name.partition(":")
    if not colon or not word:
        raise InputError(f"--model must be timm:NAME or MODULE:FUNCTION, not {name!r}")
    try:
        if place == "timm" and (":" in word or "/" in word):
            raise InputError("only timm's own networks are made by name, nothing is fetched")
        if place == "timm":
            channels = benchmark.data_set.channels
            return timm.create_model(word, num_classes=len(benchmark.class_counts), in_chans=channels)
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        made = getattr(importlib.import_module(place), word)()
    except (Exception, SystemExit) as error:  # whatever somebody's module raises
        raise InputError(f"{name} cannot be made ({type(error).__name__}: {first_line(error)})") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{name} must return a torch module, not {type(made).__name__}")
    return made


def load_weights(model: nn.Module, path: Path) -> str:
    """Load a state dict, every key of it and no other; returns the file's SHA-256.

    Raises:
        InputError: the file is missing or no safetensors, or does not fit the model.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"{path} must be a .safetensors file: pickles are not opened; convert it with save_file")
    try:
        content = path.read_bytes()
        model.load_state_dict(load(content))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except RuntimeError as error:
        found = " ".join(str(error).split())
        raise InputError(f"{path} does not fit the model: {found[:300]}") from error
    return hashlib.sha256(content).hexdigest()


class _Outputs(nn.Module):
    """A model that says how many classes it has, as timm's do, and is held to it.

    Args:
        model: any classifier.
        num_classes: of the benchmark.
    """

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.model, self.num_classes = model, num_classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits, (B, C)."""
        try:
            logits = self.model(images)
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise InputError(
                f"the model does not take images {tuple(images.shape[1:])}: {first_line(error)}"
            ) from error
        if not isinstance(logits, torch.Tensor) or logits.shape != (len(images), self.num_classes):
            found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise InputError(f"the model must give logits ({len(images)}, {self.num_classes}), not {found}")
        return logits


def _per_cent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be per cent from 0 to 100, not {text!r}")
    return value


def _url(text: str) -> str:
    parts = urlparse(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or any(c.isspace() or c in "()<>|" for c in text):
        raise argparse.ArgumentTypeError(f"must be a URL that begins with http:// or https://, not {text!r}")
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
