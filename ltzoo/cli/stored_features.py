"""From stored features and a checkpoint's head to logits, for `ltzoo posthoc --model`."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ltzoo import checkpoints
from ltzoo.checkpoints.logit_prior import already_rebalanced
from ltzoo.data import HOLD_OUT, all_groups
from ltzoo.errors import InputError, first_few
from ltzoo.evaluate import (
    HELD_OUT_RULE,
    Predictions,
    StoredFeatures,
    StoredLogits,
    linear_classifier,
    read_features,
    weights_key,
)
from ltzoo.models.classifiers import classifier_of
from ltzoo.registry import create_model, find_checkpoint

_MEASURED = "measured-*.safetensors"


def logits_of_features(path: Path, name: str) -> tuple[StoredLogits, str, str | None]:
    """Compute the logits of a checkpoint from stored features of test or held-out images.

    Args:
        path: a file kept by `train --cache-features`, or the folder of such files.
        name: the checkpoint, as given by the user.

    Returns:
        The logits; which file the features are from; and why the head is balanced already, None if it is not.

    Raises:
        InputError: the features are missing, damaged, or not those of images that the checkpoint can be measured on.
    """
    folder = find_checkpoint(name)
    config, recipe = checkpoints.read_config(folder), checkpoints.read_recipe(folder)
    benchmark = checkpoints.benchmark_of(config, recipe)
    model = create_model(f"local-dir:{folder}", pretrained=True).eval()
    fit = _Fit(name, config, model, benchmark.data_set.class_names)
    file = _choose(path, fit) if path.is_dir() else path
    features = read_features(file)
    if fault := fit.fault(features):
        raise InputError(f"the features in {path} {fault}")
    with torch.no_grad():
        logits = classifier_of(model)(features.features) * recipe.loss.logit_scale
    rule = checkpoints.evaluated_epoch(recipe, config.get(checkpoints.EPOCH))
    written = datetime.fromtimestamp(file.stat().st_mtime).astimezone()
    source = f"features from {file}, written {written:%Y-%m-%d %H:%M}; images are not read or compared with them"
    rebalanced = already_rebalanced(recipe, benchmark.class_counts, config.get(checkpoints.EPOCH))
    stored = StoredLogits(
        Predictions(logits.float(), features.labels),
        class_counts=benchmark.class_counts,
        classifier=linear_classifier(model),
        groupings=tuple(all_groups(benchmark, first=recipe.groups)),
        model=name,
        benchmark=benchmark.name,
        recipe=recipe.name,
        rule=f"{rule}{'' if features.origin.held_out is None else HELD_OUT_RULE}, from cached features",
    )
    return stored, source, rebalanced


class _Fit:
    """What features must be to belong to a checkpoint."""

    def __init__(self, name: str, config: Mapping[str, Any], model: nn.Module, class_names: tuple[str, ...]) -> None:
        run = config.get("run") or {}
        self.name, self.class_names = name, class_names
        # The weights below a head that was trained on cached features were rounded when they were stored.
        self.weights = run.get("features_of"), weights_key(model)
        self.measured, self.layout = run.get("measured_features"), run.get("measured_layout")
        self.held_out = ((config.get("overrides") or {}).get(HOLD_OUT) or (None, None))[1]

    def fault(self, features: StoredFeatures) -> str | None:
        """Say why features cannot be taken; None if they can."""
        origin = features.origin
        if features.split != "measured":
            return f"are of training images; give those of the images that are measured ({_MEASURED})"
        if features.key.weights not in self.weights:
            return (
                f"are not of the weights of {self.name}; give those that its head was trained on, or train it with "
                "--cache-features again"
            )
        if origin.class_names != self.class_names:
            return (
                f"are of images of other classes than those of {self.name} ({first_few(list(origin.class_names))} "
                f"instead of {first_few(list(self.class_names))}); give those of its own data set"
            )
        if origin.held_out is None:
            return None
        if origin.held_out != self.held_out:
            found = "none" if self.held_out is None else self.held_out
            return (
                f"are of images held out with --hold-out {origin.held_out}, which {self.name} may have been trained "
                f"on: its training held out {found}"
            )
        same = features.key.short == self.measured if self.measured else origin.layout == self.layout
        return None if same else f"are not of the images that the training of {self.name} held out"


def _choose(folder: Path, fit: _Fit) -> Path:
    """Return the file of a folder that belongs to a checkpoint: the one that its training recorded, or all that fit."""
    recorded = folder / _MEASURED.replace("*", str(fit.measured))
    if fit.measured and recorded.is_file():
        return recorded
    fitting = [path for path in sorted(folder.glob(_MEASURED)) if fit.fault(read_features(path)) is None]
    if not fitting:
        raise InputError(
            f"{folder} has no features of test or held-out images that fit {fit.name}; train it with --cache-features"
        )
    if len(fitting) > 1:
        raise InputError(
            f"{folder} has several files that fit {fit.name}: {', '.join(path.name for path in fitting)}; "
            "name one of them"
        )
    return fitting[0]
