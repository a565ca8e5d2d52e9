"""What `ltzoo fit` ends with: accuracy by group, the worst classes, and what re-balancing would change."""

import argparse
import shlex

from ltzoo import checkpoints
from ltzoo.checkpoints.logit_prior import already_rebalanced, prior_of_recipe
from ltzoo.cli import posthoc, validate
from ltzoo.cli.data_location import location_options
from ltzoo.errors import printable
from ltzoo.train import RunFolder

_WORST = 10


def report_fit(folder: RunFolder, arguments: argparse.Namespace) -> None:
    """Measure a finished run by `ltzoo validate` and `ltzoo posthoc`; the commands are printed above their output.

    Writes `confusion.csv` and `logits.safetensors` into the run folder.

    Args:
        folder: the run.
        arguments: those of `ltzoo train` that it was trained with.
    """
    model = f"local-dir:{folder.checkpoint}"
    confusion, logits = folder.path / "confusion.csv", folder.path / "logits.safetensors"
    words = ["--model", model, *(word for option in location_options(arguments) for word in option)]
    for flag, value in (
        ("--hold-out", arguments.hold_out),
        ("--skip-unreadable", arguments.skip_unreadable),
        ("--workers", arguments.workers),
    ):
        words += [] if value is None else [flag, str(value)]
    words += ["--worst", str(_WORST), "--confusion", str(confusion), "--logits", str(logits)]
    _say("validate", words)
    validate.command(validate.build_parser("ltzoo validate").parse_args(words))
    print(f"\nconfusion of all classes, rows are labels: {printable(str(confusion))}")
    _rebalance(folder, [str(logits), "--la", "1"])
    print(f"\npredict:    ltzoo predict --model {printable(shlex.quote(model))} IMAGES")


def _rebalance(folder: RunFolder, words: list[str]) -> None:
    """Show what logit adjustment changes, unless the logits are balanced already or their prior is unknown."""
    config, recipe = checkpoints.read_config(folder.checkpoint), checkpoints.read_recipe(folder.checkpoint)
    counts = checkpoints.benchmark_of(config, recipe).class_counts
    balanced = already_rebalanced(recipe, counts)
    if balanced:
        print(f"\nnothing to re-balance afterwards (ltzoo posthoc), since training did it: {balanced}")
        return
    prior, why = prior_of_recipe(recipe, counts)
    if prior is None:
        print(
            f"\nre-balancing afterwards (ltzoo posthoc) is not shown: the class prior of the logits is unknown, {why}"
        )
        return
    _say("posthoc", words)
    posthoc.command(posthoc.build_parser("ltzoo posthoc").parse_args(words))
    if prior.caveat:
        print(f"note: approximately, since {prior.caveat}")


def _say(command: str, words: list[str]) -> None:
    print(f"\n{printable(shlex.join(['ltzoo', command, *words]))}")
