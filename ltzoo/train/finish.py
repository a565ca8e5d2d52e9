"""The end of a run: checkpoint, figures measured from the written weights, pictures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltzoo import hub
from ltzoo.data import LabelledImages, make_groups
from ltzoo.evaluate import Figures, draw_classes, draw_curves, evaluate_model
from ltzoo.recipes import Recipe, build_model
from ltzoo.train.run_folder import Row, RunFolder, write_text
from ltzoo.train.state import read_tensors

LAST_RULE = "last epoch"


def finish_run(
    folder: RunFolder,
    recipe: Recipe,
    weights: Mapping[str, Tensor],
    best_epoch: int,
    val_interval: int,
    history: Sequence[Row],
    facts: Mapping[str, Any],
    test: LabelledImages,
    device: torch.device,
) -> None:
    """Write `checkpoint/`, the pictures and, last, `metrics.json`, which says that the run is finished.

    Args:
        folder: the run folder.
        recipe: what was trained.
        weights: the last epoch's state dict.
        best_epoch: the epoch, from 0, of `state/best.safetensors`.
        val_interval: epochs from one evaluation to the next.
        history: rows of `summary.csv`.
        facts: what else the files record: seed, subset, overrides, versions.
        test: the test images.
        device: where to measure.
    """
    model = build_model(recipe)
    model.load_state_dict(weights)
    benchmark = recipe.data
    groups = make_groups(recipe.groups, benchmark)
    description = {
        "recipe": facts["recipe"],
        "class_counts": list(benchmark.class_counts),
        "groups": {groups.rule: {name: list(classes) for name, classes in groups.classes.items()}},
        **{key: facts[key] for key in ("seed", "subset_sha256", "overrides", "versions")},
    }
    hub.save_checkpoint(folder.checkpoint, model, description)

    def measured(source: Mapping[str, Tensor] | Path, rule: str) -> Figures:
        if isinstance(source, Path):
            measured_model = hub.load_checkpoint(source)
        else:
            measured_model = build_model(recipe)
            measured_model.load_state_dict(source)
        return evaluate_model(measured_model, benchmark, test, recipe.groups, rule, device=device)

    last = measured(folder.checkpoint, LAST_RULE)
    every = "every epoch" if val_interval == 1 else f"every {val_interval} epochs"
    best = measured(read_tensors(folder.best_weights)[0], f"best epoch on the test set, looked at {every}").to_dict()
    best["epoch"] = best_epoch
    paper = best | {"rule": f"{recipe.paper_rule}, looked at {every}"} if recipe.paper_rule else None
    metrics = {
        "recipe": recipe.name,
        **{key: facts[key] for key in ("seed", "subset_sha256", "overrides")},
        "last": last.to_dict(),
        "best": best,
        "paper": paper,
    }
    draw_classes(folder.path / "classes.png", folder_title(recipe, facts), last, groups)
    draw_curves(folder.path / "curves.png", folder_title(recipe, facts), history)
    text = json.dumps(metrics, indent=1) + "\n"
    write_text(folder.checkpoint / hub.METRICS, text)
    write_text(folder.metrics, text)


def folder_title(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    """Head a picture: name, seed, and whether fields were overridden."""
    return f"{recipe.name}, seed {facts['seed']}{', with overrides' if facts['overrides'] else ''}"
