"""Is a checkpoint what it says it is? Hashes, card, round trip, and accuracy where the data are at hand."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ltzoo.data import load_test
from ltzoo.errors import InputError
from ltzoo.evaluate import Figures, evaluate_model
from ltzoo.hub.card import card_data, read_card_data
from ltzoo.hub.config import RECIPE, read_config
from ltzoo.hub.layout import CARD, CONFIG, EXAMPLE, MANIFEST, METRICS
from ltzoo.hub.load import load_checkpoint
from ltzoo.hub.manifest import damaged_files, read_file, read_manifest
from ltzoo.hub.save import read_example, run_on_cpu
from ltzoo.recipes import recipe_from_dict

ROUND_TRIP = 1e-3
"""How far an output may be from the stored one, over the largest: other processors add up in other orders."""

ACCURACY = 0.05
"""Points that an accuracy may differ by: what shows at one decimal."""


@dataclass(frozen=True)
class Verdict:
    """What became of a checkpoint's claims.

    Attributes:
        differences: a line for each that does not hold.
        accuracy: the largest difference of overall and group accuracies, in points; None where it was not measured.
        unmeasured: why it was not.
    """

    differences: tuple[str, ...]
    accuracy: float | None = None
    unmeasured: str = ""


def verify_checkpoint(folder: Path, data_dir: Path, device: torch.device) -> Verdict:
    """Verify a run's checkpoint.

    Args:
        folder: the whole checkpoint, with figures.
        data_dir: holds a folder a data set; without that of the checkpoint, accuracy is not measured.
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
        metrics = json.loads(read_file(folder, METRICS))
        recorded = Figures.from_dict(metrics["last"])
        differences = [*_card(folder, config, metrics, recorded), *_round_trip(folder)]
    except InputError as error:
        return Verdict((str(error),))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Verdict((f"{CONFIG} or {METRICS} lacks what a run writes ({type(error).__name__}: {error})",))
    try:
        recipe = recipe_from_dict(config["recipe"])
        test = load_test(recipe.data, data_dir)
    except InputError as error:
        return Verdict(tuple(differences), unmeasured=str(error))
    model = load_checkpoint(folder)
    figures = evaluate_model(model, recipe.data, test, recipe.groups, recorded.rule, device=device)
    again, before = _accuracies(figures), _accuracies(recorded)
    accuracy = max(abs(again.get(key, math.inf) - value) for key, value in before.items())
    if accuracy >= ACCURACY:
        differences.append(f"{METRICS}: accuracy measured again differs by {accuracy:.2f} points")
    return Verdict(tuple(differences), accuracy)


def _card(folder: Path, config: Mapping[str, Any], metrics: Mapping[str, Any], recorded: Figures) -> list[str]:
    """Hold the card's metadata and the figures in `config.json` against `metrics.json`."""
    found = []
    if read_card_data(folder) != card_data(config, metrics).to_dict():
        found.append(f"{CARD}: its metadata are not those of {CONFIG} and {METRICS}")
    if config["metrics"] != {"rule": recorded.rule, "overall": recorded.overall, "groups": recorded.groups}:
        found.append(f"{CONFIG}: its metrics are not those of {METRICS}")
    return found


def _round_trip(folder: Path) -> list[str]:
    """Run the stored input and hold the output against the stored one."""
    images, expected = read_example(folder)
    output = run_on_cpu(load_checkpoint(folder), images)
    if output.shape != expected.shape:
        return [f"{EXAMPLE}: the model gives {tuple(output.shape)}, not {tuple(expected.shape)}"]
    distance = float((output - expected).abs().max() / expected.abs().max())
    return [f"{EXAMPLE}: the output differs by {distance:.1e} of the largest"] if not distance <= ROUND_TRIP else []


def _accuracies(figures: Figures) -> dict[tuple[str, str], float]:
    """List overall and group accuracies."""
    groups = {
        (rule, group): value
        for rule, found in figures.groups.items()
        for group, value in found.items()
        if value is not None
    }
    return {("", "overall"): figures.overall, **groups}
