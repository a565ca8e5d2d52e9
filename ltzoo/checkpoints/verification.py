"""Verify a checkpoint: hashes, card, output of the example, and accuracy if the data are available."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ltzoo.checkpoints.card import card_data, figures_table, read_card, read_card_data
from ltzoo.checkpoints.config import RECIPE, benchmark_of, read_config, read_recipe
from ltzoo.checkpoints.files import CARD, CONFIG, EXAMPLE, MANIFEST, METRICS, damaged_files, read_file, read_manifest
from ltzoo.checkpoints.load import load_checkpoint
from ltzoo.checkpoints.save import read_example, run_on_cpu, same_output
from ltzoo.data import HOLD_OUT, make_groups
from ltzoo.data.memory import load_test
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import EvalOptions, Figures, evaluate_model
from ltzoo.reading.json_text import parse_json
from ltzoo.recipes import Recipe

ACCURACY_TOLERANCE = 0.05
"""Percentage points allowed for overall and group accuracies: no difference at one decimal."""

CLASS_TOLERANCE = 3.0
"""Percentage points allowed for one class: one image of a small class, whose two highest logits nearly tie."""


@dataclass(frozen=True)
class Verdict:
    """The result of a verification.

    Attributes:
        differences: one line per claim of the checkpoint that does not hold.
        accuracy: the largest difference of overall and group accuracies, in percentage points; None if not measured.
        unmeasured: the reason why accuracy was not measured.
    """

    differences: tuple[str, ...]
    accuracy: float | None = None
    unmeasured: str = ""


def verify_checkpoint(folder: Path, data_dir: Path | None, device: torch.device) -> Verdict:
    """Verify the checkpoint of a run.

    Args:
        folder: the whole checkpoint, with figures.
        data_dir: holds one folder per data set; if it is None or the checkpoint's is missing, accuracy is not measured.
        device: where to measure accuracy.
    """
    try:
        if read_manifest(folder) is None:
            return Verdict((f"{MANIFEST} is missing",))
        damaged = damaged_files(folder)
        if damaged:
            return Verdict(tuple(f"{name} is not the file that {MANIFEST} lists" for name in damaged))
        config = read_config(folder)
        if RECIPE not in config:
            return Verdict((f"{CONFIG} names no recipe, so there is nothing to measure it by",))
        metrics = parse_json(read_file(folder, METRICS))
        recorded, recipe = Figures.from_dict(metrics["last"]), read_recipe(folder)
        differences = [
            *_config(config, metrics, recorded, recipe),
            *_card(folder, config, metrics),
            *_round_trip(folder),
        ]
        if HOLD_OUT in config["overrides"]:
            return Verdict(tuple(differences), unmeasured="its figures are of held-out images, not of the test set")
    except InputError as error:
        return Verdict((str(error),))
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        return Verdict((f"it lacks what a run writes ({type(error).__name__}: {first_line(error)})",))
    if recipe.natural:
        return Verdict(tuple(differences), unmeasured="its images lie in files; validate.py measures it on them")
    if data_dir is None:
        return Verdict(tuple(differences), unmeasured="no data folder was given")
    try:
        test = load_test(recipe.data, data_dir)
    except InputError as error:
        return Verdict(tuple(differences), unmeasured=str(error))
    benchmark = benchmark_of(config, recipe)
    try:
        model = load_checkpoint(folder)
        figures = evaluate_model(model, benchmark, test, recipe.groups, recorded.rule, EvalOptions(device))
    except InputError as error:
        return Verdict((*differences, str(error)))
    again, before = _accuracies(figures), _accuracies(recorded)
    accuracy = max(abs(again.get(key, math.inf) - value) for key, value in before.items())
    if accuracy >= ACCURACY_TOLERANCE:
        differences.append(f"{METRICS}: accuracy measured again differs by {accuracy:.2f} points")
    # Where the numbers of classes differ, `_config` has said so.
    if len(figures.per_class) == len(recorded.per_class):
        largest = max(abs(a - b) for a, b in zip(figures.per_class, recorded.per_class, strict=True))
        if largest >= CLASS_TOLERANCE:
            differences.append(f"{METRICS}: the accuracy of a class differs by more than {CLASS_TOLERANCE:g} points")
    return Verdict(tuple(differences), accuracy)


def _config(config: Mapping[str, Any], metrics: Mapping[str, Any], recorded: Figures, recipe: Recipe) -> list[str]:
    """Compare `config.json` and `metrics.json` with each other and with the recipe's benchmark."""
    benchmark = benchmark_of(config, recipe)
    groups = make_groups(recipe.groups, benchmark)
    expected = {
        "metrics": {"rule": recorded.rule, "overall": recorded.overall, "groups": recorded.groups},
        "class_counts": list(benchmark.class_counts),
        "label_names": list(benchmark.data_set.class_names),
        "groups": {groups.rule: {name: list(classes) for name, classes in groups.classes.items()}},
        **{key: metrics[key] for key in ("seed", "subset_layout", "subset_sha256", "overrides")},
    }
    found = [f"{CONFIG}: its {key} is not what it should be" for key in expected if config[key] != expected[key]]
    if recorded.class_counts != benchmark.class_counts or len(recorded.per_class) != len(recorded.class_counts):
        found.append(f"{METRICS}: its class counts are not those of {recipe.benchmark}")
    return found


def _card(folder: Path, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Compare the card's metadata and its table of figures with `config.json` and `metrics.json`."""
    found = []
    if read_card_data(folder) != card_data(config, metrics).to_dict():
        found.append(f"{CARD}: its metadata are not those of {CONFIG} and {METRICS}")
    if figures_table(config[RECIPE], metrics) not in read_card(folder):
        found.append(f"{CARD}: its figures are not those of {METRICS}")
    return found


def _round_trip(folder: Path) -> list[str]:
    """Run the stored input and compare the output with the stored one."""
    images, expected = read_example(folder)
    same = same_output(run_on_cpu(load_checkpoint(folder), images), expected)
    return [] if same else [f"{EXAMPLE}: the model gives another output than is stored"]


def _accuracies(figures: Figures) -> dict[tuple[str, str], float]:
    """List overall and group accuracies."""
    groups = {
        (rule, group): value
        for rule, found in figures.groups.items()
        for group, value in found.items()
        if value is not None
    }
    return {("", "overall"): figures.overall, **groups}
