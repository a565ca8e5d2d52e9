"""The end of a run: checkpoint, figures measured from the written weights, pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ltzoo import hub
from ltzoo.data import LabelledImages, make_groups
from ltzoo.evaluate import Figures, draw_classes, draw_curves, evaluate_model
from ltzoo.recipes import PaperRule, build_model, model_arguments, recipe_to_dict
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

    measured: dict[tuple[int, bool], Figures] = {}

    def figures(measured_model: nn.Module, epoch: int, flip: bool, rule: str) -> Figures:
        """Measure an epoch's weights, each once."""
        if (epoch, flip) not in measured:
            measured[epoch, flip] = evaluate_model(
                measured_model,
                benchmark,
                test,
                recipe.groups,
                rule,
                device=device,
                flip=flip,
                logit_scale=recipe.loss.logit_scale,
            )
        return replace(measured[epoch, flip], rule=rule)

    def selected(selection: str, flip: bool, rule: str) -> dict[str, Any]:
        """Measure the weights that a selection kept."""
        kept, written_with = read_tensors(folder.selected(selection))
        epoch = int(written_with["epoch"])
        model.load_state_dict(kept)
        return figures(model, epoch, flip, rule).to_dict() | {"epoch": epoch}

    interval, paper_rule = facts.how["val_interval"], recipe.paper_rule
    last = figures(hub.load_checkpoint(folder.checkpoint), recipe.schedule.epochs - 1, False, "last epoch")
    metrics = {
        "recipe": recipe.name,
        **origin,
        "last": last.to_dict(),
        "best": selected("best", False, _in_words(PaperRule(interval, flip=False))),
        "paper": None,
    }
    if paper_rule is not None:
        words = _in_words(replace(paper_rule, interval=math.lcm(paper_rule.interval, interval)))
        metrics["paper"] = selected("paper", paper_rule.flip, words)
    draw_classes(folder.path / "classes.png", facts.title, last, groups)
    draw_curves(folder.path / "curves.png", facts.title, history)
    text = json.dumps(metrics, indent=1) + "\n"
    write_text(folder.checkpoint / hub.METRICS, text)
    write_text(folder.metrics, text)


def _in_words(rule: PaperRule) -> str:
    """Say how an epoch was selected, and how it was measured."""
    looked = "looked at every epoch" if rule.interval == 1 else f"looked at every {rule.interval} epochs"
    flipped = ", logits averaged with those of the mirror image" if rule.flip else ""
    return f"best epoch on the test set, {looked}{flipped}"
