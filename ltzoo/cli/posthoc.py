"""`ltzoo posthoc`: re-balance stored test logits without training."""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

from ltzoo.atomic_write import write_text
from ltzoo.checkpoints.logit_prior import already_rebalanced
from ltzoo.cli.arguments import writable
from ltzoo.cli.parser import Parser, run
from ltzoo.cli.stored_features import logits_of_features
from ltzoo.errors import InputError
from ltzoo.evaluate import (
    HELD_OUT_RULE,
    Predictions,
    StoredLogits,
    accuracy_table,
    adjust_logits,
    measure,
    read_logits,
    tau_normalize,
)
from ltzoo.registry import get_recipe, list_recipes


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Re-balance a trained model's test logits per class without training, and measure the results.",
        epilog="TAU is to be chosen on held-out images, never on the test set, which is why every value that is asked "
        "for is shown. Without --la and --tau-norm, tau is 1 for both; a classifier that is not linear then gets "
        "logit adjustment only.",
        examples=[
            "ltzoo posthoc logits.safetensors --la 0.5 1 --tau-norm 0.5 1",
            "ltzoo posthoc output/features --model local-dir:output/NAME/seed0/checkpoint",
        ],
    )
    parser.add_argument(
        "logits",
        type=Path,
        metavar="LOGITS",
        help="a file written by validate --logits; with --model, features kept by train --cache-features, or "
        "their folder",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="the checkpoint whose head is put on the features, as for validate --model"
    )
    parser.add_argument(
        "--la",
        nargs="+",
        action="extend",
        type=strength,
        metavar="TAU",
        help="logit adjustment: z_j - TAU * log pi_j, pi_j the share of class j in the training images (Menon 2021)",
    )
    parser.add_argument(
        "--tau-norm",
        nargs="+",
        action="extend",
        type=strength,
        metavar="TAU",
        help="tau-normalisation: weight vectors over their norms to the power of TAU, without bias (Kang 2020)",
    )
    parser.add_argument("--groups", metavar="RULE", help="grouping to show (the one that validate showed)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the figures, one record per row")
    return parser


def strength(text: str) -> float:
    """Parse a tau, finite and not below 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a finite number, not below 0, not {text!r}")
    return value


def command(arguments: argparse.Namespace) -> None:
    """Read, re-balance, measure and print; write the file asked for."""
    path, model = arguments.logits, arguments.model
    features = None
    if model is None:
        read = read_logits(path)
        # A file of logits names its recipe alone: overrides are not known, nor recipes that are not registered.
        registered = get_recipe(read.recipe) if read.recipe in list_recipes() else None
        balanced = already_rebalanced(registered, read.class_counts) if registered else None
    else:
        read, features, balanced = logits_of_features(path, model)
    stored = _regrouped(read, arguments.groups, path)
    linear, logits = stored.classifier, stored.predictions.logits
    la, tau_norm = dict.fromkeys(arguments.la or ()), dict.fromkeys(arguments.tau_norm or ())
    by_default = not la and not tau_norm
    if by_default:
        la, tau_norm = {1.0: None}, {1.0: None} if linear else {}
    if tau_norm and not linear:
        possible = " ".join(f"{tau:g}" for tau in la or (1.0,))
        raise InputError(
            f"{arguments.logits} has no weight norms, since the classifier of {stored.model} is not a linear layer; "
            f"leave --tau-norm out: logit adjustment alone is possible, with --la {possible}"
        )
    changed = {("as trained", None): logits}
    changed |= {("logit adjustment", tau): adjust_logits(logits, stored.class_counts, tau) for tau in la}
    if linear:
        norms, bias = linear.weight_norms, linear.bias
        changed |= {("tau-normalisation", tau): tau_normalize(logits, norms, bias, tau) for tau in tau_norm}
    rows = []
    for (method, tau), rebalanced in changed.items():
        label = method if tau is None else f"{method}, tau {repr(tau).removesuffix('.0')}"
        predictions = Predictions(rebalanced, stored.predictions.labels)
        rule = f"{stored.rule}, {label}"
        rows.append((label, method, tau, measure(predictions, stored.class_counts, stored.groupings, rule)))
    shown = stored.groupings[0].rule
    images = f"{len(logits)} {'held-out' if HELD_OUT_RULE in stored.rule else 'test'} images"
    print(f"{stored.model} on {stored.benchmark}, {images}, {stored.rule}, groups by the rule {shown}")
    if features:
        print(features)
    print(accuracy_table({label: figures.headline for label, _, _, figures in rows}))
    if by_default and not linear:
        print("without tau-normalisation: the classifier is not a linear layer")
    if balanced:
        print(f"note: {balanced}; re-balanced once more, they can favour rare classes too much")
    if arguments.json:
        records = [{"method": method, "tau": tau, **figures.to_dict()} for _, method, tau, figures in rows]
        source = {key: getattr(stored, key) for key in ("model", "benchmark", "recipe")}
        write_text(arguments.json, json.dumps(source | {"rows": records}, indent=1) + "\n")


def _regrouped(stored: StoredLogits, rule: str | None, path: Path) -> StoredLogits:
    """Put the grouping asked for first."""
    rules = [groups.rule for groups in stored.groupings]
    if rule is not None and rule not in rules:
        raise InputError(f"{path} has no groups by the rule {rule!r}; there are {', '.join(rules)}")
    first = rule or rules[0]
    return replace(stored, groupings=tuple(sorted(stored.groupings, key=lambda groups: groups.rule != first)))


def main(argv: list[str] | None = None, prog: str = "ltzoo posthoc") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
