"""The end of a run: checkpoint, figures measured from the written weights, pictures."""

import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ltzoo import hub
from ltzoo.data import LabelledImages, make_groups
from ltzoo.evaluate import draw_classes, draw_curves, evaluate_model
from ltzoo.recipes import build_model, model_arguments, recipe_to_dict
from ltzoo.train.facts import RunFacts
from ltzoo.train.run_folder import Row, RunFolder, write_text
from ltzoo.train.state import read_tensors


def finish_run(
    folder: RunFolder,
    facts: RunFacts,
    weights: Mapping[str, Tensor],
    history: Sequence[Row],
    test: LabelledImages,
    device: torch.device,
) -> None:
    """Write `checkpoint/`, the pictures and, last, `metrics.json`, which says that the run is finished.

    Args:
        folder: the run folder.
        facts: the record of the run.
        weights: the last epoch's state dict.
        history: rows of `summary.csv`.
        test: the test images.
        device: where to measure.
    """
    recipe, benchmark = facts.recipe, facts.recipe.data
    groups = make_groups(recipe.groups, benchmark)
    model = build_model(recipe)
    model.load_state_dict(weights)
    origin = facts.origin() | {"overrides": dict(facts.overrides)}
    description = {
        "recipe": recipe_to_dict(recipe),
        "class_counts": list(benchmark.class_counts),
        "groups": {groups.rule: {name: list(classes) for name, classes in groups.classes.items()}},
        **origin,
        "versions": dict(facts.versions),
    }
    hub.save_checkpoint(folder.checkpoint, model, model_arguments(recipe), description)

    interval = facts.how["val_interval"]
    looked = "looked at every epoch" if interval == 1 else f"looked at every {interval} epochs"
    written = hub.load_checkpoint(folder.checkpoint)
    last = evaluate_model(written, benchmark, test, recipe.groups, "last epoch", device=device)
    best_weights, written_with = read_tensors(folder.best_weights)
    model.load_state_dict(best_weights)
    best_rule = f"best epoch on the test set, {looked}"
    best = evaluate_model(model, benchmark, test, recipe.groups, best_rule, device=device).to_dict()
    best["epoch"] = int(written_with["epoch"])
    metrics = {
        "recipe": recipe.name,
        **origin,
        "last": last.to_dict(),
        "best": best,
        "paper": best | {"rule": f"{recipe.paper_rule}, {looked}"} if recipe.paper_rule else None,
    }
    draw_classes(folder.path / "classes.png", facts.title, last, groups)
    draw_curves(folder.path / "curves.png", facts.title, history)
    text = json.dumps(metrics, indent=1) + "\n"
    write_text(folder.checkpoint / hub.METRICS, text)
    write_text(folder.metrics, text)
