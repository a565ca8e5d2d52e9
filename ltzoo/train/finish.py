"""The end of a run: the checkpoint, and in it the figures measured from the weights as they are written."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ltzoo import hub
from ltzoo.data import Pictures, make_groups
from ltzoo.evaluate import EvalOptions, Figures, draw_classes, draw_curves, evaluate_model
from ltzoo.recipes import PaperRule, build_model, model_arguments
from ltzoo.train.facts import RunFacts
from ltzoo.train.keep import description
from ltzoo.train.run_folder import Row, RunFolder, write_text
from ltzoo.train.state import read_tensors


def finish_run(
    folder: RunFolder,
    facts: RunFacts,
    weights: Mapping[str, Tensor],
    history: Sequence[Row],
    images: Pictures,
    device: torch.device,
    workers: int,
) -> None:
    """Write `checkpoint/` and, last, `metrics.json`, which says that the run is finished.

    Args:
        folder: the run folder.
        facts: the record of the run.
        weights: the last epoch's state dict.
        history: rows of `summary.csv`.
        images: what is measured, the test images or the held-out ones.
        device: where to measure.
        workers: processes that decode images.
    """
    recipe, origin = facts.recipe, facts.origin() | {"overrides": dict(facts.overrides)}
    measure = _Measure(facts, images, device, workers)
    model = build_model(recipe, data_set=facts.benchmark.data_set)
    model.load_state_dict(weights)
    with hub.new_checkpoint(folder.checkpoint) as fresh:
        last = _write_weights(fresh, model, facts, measure)
        metrics = {"recipe": recipe.name, "precision": recipe.precision, **origin, "last": last.to_dict()}
        metrics |= _selected(folder, model, facts, measure)
        summary = {"rule": last.rule, "overall": last.overall, "groups": last.groups}
        hub.describe(fresh, description(facts, metrics=summary))
        text = json.dumps(metrics, indent=1) + "\n"
        write_text(fresh / hub.METRICS, text)
        shutil.copyfile(folder.summary, fresh / hub.SUMMARY)
        draw_classes(fresh / hub.CLASSES_PICTURE, facts.title, last, make_groups(recipe.groups, facts.benchmark))
        draw_curves(fresh / hub.CURVES_PICTURE, facts.title, history, "held-out" if facts.held_out else "test")
        hub.write_card(fresh)
    write_text(folder.metrics, text)


class _Measure:
    """Measures epochs of a run, each once.

    Args:
        facts: recipe and benchmark: groups, and the scale of the logits.
        images: what is measured.
        device: where to compute.
        workers: processes that decode images.
    """

    def __init__(self, facts: RunFacts, images: Pictures, device: torch.device, workers: int) -> None:
        self.facts, self.images, self.device, self.workers = facts, images, device, workers
        self.measured: dict[tuple[int, bool], Figures] = {}

    def __call__(self, model: nn.Module, epoch: int, flip: bool, rule: str) -> Figures:
        if (epoch, flip) not in self.measured:
            recipe = self.facts.recipe
            self.measured[epoch, flip] = evaluate_model(
                model,
                self.facts.benchmark,
                self.images,
                recipe.groups,
                rule,
                EvalOptions(self.device, flip, recipe.loss.logit_scale, self.workers),
            )
        return replace(self.measured[epoch, flip], rule=rule)


def _write_weights(fresh: Path, model: nn.Module, facts: RunFacts, measure: _Measure) -> Figures:
    """Write the last epoch's weights in half precision if no class's accuracy changes with it, else in float32."""
    epoch = facts.recipe.schedule.epochs - 1
    arguments = model_arguments(facts.recipe, facts.benchmark.data_set)
    rule = "last epoch on held-out images" if facts.held_out else "last epoch"
    full = measure(model, epoch, False, rule)
    hub.write_model(fresh, model, arguments, half=True)
    measure.measured.clear()
    half = measure(hub.load_checkpoint(fresh), epoch, False, rule)
    if half.per_class == full.per_class:
        return half
    hub.write_model(fresh, model, arguments)
    measure.measured[epoch, False] = full
    return full


def _selected(folder: RunFolder, model: nn.Module, facts: RunFacts, measure: _Measure) -> dict[str, Any]:
    """Measure the epochs that were selected by their accuracy: the best, and the paper's choice if it has a rule."""

    def figures(selection: str, flip: bool, rule: str) -> dict[str, Any]:
        kept, written_with = read_tensors(folder.selected(selection))
        epoch = int(written_with["epoch"])
        model.load_state_dict(kept)
        return measure(model, epoch, flip, rule).to_dict() | {"epoch": epoch}

    interval, paper_rule = facts.how["val_interval"], facts.recipe.paper_rule
    best = figures("best", False, _in_words(PaperRule(interval, flip=False), facts.held_out))
    if paper_rule is None:
        return {"best": best, "paper": None}
    words = _in_words(replace(paper_rule, interval=math.lcm(paper_rule.interval, interval)), facts.held_out)
    return {"best": best, "paper": figures("paper", paper_rule.flip, words)}


def _in_words(rule: PaperRule, held_out: bool) -> str:
    """Say how an epoch was selected, and how it was measured."""
    looked = "looked at every epoch" if rule.interval == 1 else f"looked at every {rule.interval} epochs"
    flipped = ", logits averaged with those of the mirror image" if rule.flip else ""
    return f"best epoch on {'held-out images' if held_out else 'the test set'}, {looked}{flipped}"
