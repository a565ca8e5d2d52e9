"""`ltzoo posthoc`: re-balance stored test logits without training."""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import torch

from ltzoo import checkpoints
from ltzoo.cli.parser import Parser, run, writable
from ltzoo.data import all_groups
from ltzoo.errors import InputError
from ltzoo.evaluate import (
    Predictions,
    StoredLogits,
    accuracy_table,
    adjust_logits,
    linear_classifier,
    measure,
    read_features,
    read_logits,
    tau_normalize,
    weights_key,
)
from ltzoo.models.heads import classifier_of
from ltzoo.registry import create_model, find_checkpoint


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
            "ltzoo posthoc output/features/measured-KEY.safetensors --model resnet32_cifar100lt_ce_sgd",
        ],
    )
    parser.add_argument(
        "logits",
        type=Path,
        metavar="LOGITS",
        help="a file written by validate --logits; with --model, features kept by train --cache-features",
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
    read = read_logits(arguments.logits) if arguments.model is None else _from_features(arguments)
    stored = _regrouped(read, arguments.groups, arguments.logits)
    linear, logits = stored.classifier, stored.predictions.logits
    la, tau_norm = dict.fromkeys(arguments.la or ()), dict.fromkeys(arguments.tau_norm or ())
    by_default = not la and not tau_norm
    if by_default:
        la, tau_norm = {1.0: None}, {1.0: None} if linear else {}
    if tau_norm and not linear:
        raise InputError(
            f"{arguments.logits} has no weight norms, since the classifier of {stored.model} is not a linear layer; "
            "leave --tau-norm out"
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
    print(f"{stored.model} on {stored.benchmark}, {len(logits)} test images, {stored.rule}, groups by the rule {shown}")
    print(accuracy_table({label: figures.headline for label, _, _, figures in rows}))
    if by_default and not linear:
        print("without tau-normalisation: the classifier is not a linear layer")
    if arguments.json:
        records = [{"method": method, "tau": tau, **figures.to_dict()} for _, method, tau, figures in rows]
        source = {key: getattr(stored, key) for key in ("model", "benchmark", "recipe")}
        arguments.json.write_text(json.dumps(source | {"rows": records}, indent=1) + "\n", encoding="utf-8")


def _from_features(arguments: argparse.Namespace) -> StoredLogits:
    """Compute the logits of a checkpoint from stored features of test or held-out images."""
    features, folder = read_features(arguments.logits), find_checkpoint(arguments.model)
    if features.split != "measured":
        raise InputError(
            f"{arguments.logits} holds features of training images; give those of the images that are measured "
            "(measured-*.safetensors)"
        )
    config, recipe = checkpoints.read_config(folder), checkpoints.read_recipe(folder)
    model = create_model(f"local-dir:{folder}", pretrained=True).eval()
    # The weights below a head that was trained on cached features were rounded when they were stored.
    if features.key.weights not in ((config.get("run") or {}).get("features_of"), weights_key(model)):
        raise InputError(
            f"the features in {arguments.logits} are not of the weights of {arguments.model}; give those that its head "
            "was trained on, or train it with --cache-features again"
        )
    benchmark = checkpoints.benchmark_of(config, recipe)
    with torch.no_grad():
        logits = classifier_of(model)(features.features) * recipe.loss.logit_scale
    return StoredLogits(
        Predictions(logits.float(), features.labels),
        class_counts=benchmark.class_counts,
        classifier=linear_classifier(model),
        groupings=tuple(all_groups(benchmark, first=recipe.groups)),
        model=arguments.model,
        benchmark=benchmark.name,
        recipe=recipe.name,
        rule="last epoch, from cached features",
    )


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
