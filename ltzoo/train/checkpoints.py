"""The checkpoints of a run: the final one, with figures, and those of intermediate epochs, without figures."""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ltzoo import checkpoints
from ltzoo.atomic_write import write_text
from ltzoo.data import make_groups
from ltzoo.data.batches import Images
from ltzoo.errors import InputError
from ltzoo.evaluate import HELD_OUT_RULE, EvalOptions, Figures, draw_classes, draw_curves, evaluate_model
from ltzoo.recipes import PaperRule, Recipe, recipe_to_dict
from ltzoo.recipes.model import build_model, model_arguments
from ltzoo.train.head import fold_head, put_head
from ltzoo.train.record import RunRecord
from ltzoo.train.run_folder import Row, RunFolder
from ltzoo.train.state import read_tensors
from ltzoo.train.trainable import merge_adapters, put_adapters
from ltzoo.train.val_interval import ValInterval


def check_saved_epochs(epochs: Sequence[int], recipe: Recipe) -> None:
    """Check the epochs that `--save-epochs` names.

    Args:
        epochs: epochs after which a checkpoint is to be saved, from 1.
        recipe: the recipe to train.

    Raises:
        InputError: the recipe has fewer epochs, or an epoch is named twice.
    """
    last = recipe.schedule.epochs
    if epochs and not last:
        raise InputError(f"{recipe.name} has no epochs, since its head is computed; leave --save-epochs out")
    for epoch in epochs:
        if not 1 <= epoch <= last:
            raise InputError(f"{recipe.name} has no epoch {epoch} to save; --save-epochs takes 1 to {last}")
        if epochs.count(epoch) > 1:
            raise InputError(f"--save-epochs names epoch {epoch} {epochs.count(epoch)} times; name it once")


def check_not_missed(folder: RunFolder, epochs: Sequence[int], recipe: Recipe, current: int) -> None:
    """Check that the checkpoints of the given epochs exist, or can still be saved.

    Args:
        folder: the folder of the resumed run.
        epochs: epochs after which a checkpoint is to be saved, from 1.
        recipe: the recipe.
        current: the first epoch, from 1, whose checkpoint can still be saved.

    Raises:
        InputError: training has passed an epoch without saving it.
    """
    last = recipe.schedule.epochs
    missed = [epoch for epoch in epochs if epoch < current and not folder.saved_epoch(epoch, last).exists()]
    if missed:
        raise InputError(
            f"the run in {folder.path} has already passed epoch {', '.join(map(str, missed))} without saving it; "
            "leave it out of --save-epochs, or name another --output"
        )


def save_epoch(folder: RunFolder, record: RunRecord, weights: Mapping[str, Tensor], epoch: int) -> None:
    """Write the checkpoint of an intermediate epoch, in float32 and without figures; an existing one is kept.

    Args:
        folder: the run folder.
        record: the run's record.
        weights: the state dict after the epoch.
        epoch: from 1.
    """
    path = folder.saved_epoch(epoch, record.recipe.schedule.epochs)
    if path.exists():
        return
    # Building a model draws random numbers; training must draw the same numbers with and without it.
    with torch.random.fork_rng(devices=[]), checkpoints.new_checkpoint(path) as fresh:
        model = _stored_model(record, weights)
        checkpoints.write_model(fresh, model, model_arguments(record.recipe, record.benchmark.data_set))
        checkpoints.update_config(fresh, _description(record, epoch=epoch))
        checkpoints.write_card(fresh)


def check_half(folder: RunFolder) -> None:
    """Check that a finished run has its weights in float16.

    Raises:
        InputError: it has them in float32, or they are damaged.
    """
    weights, _ = read_tensors(folder.checkpoint / checkpoints.WEIGHTS)
    if any(value.dtype == torch.float32 for value in weights.values()):
        raise InputError(
            f"the run in {folder.path} is finished, with weights in float32; leave --half out, or name another --output"
        )


@dataclass
class Evaluation:
    """Measures checkpoints of a run on its test or held-out images, each epoch once.

    Attributes:
        record: the run's record.
        images: the test images, or the held-out ones.
        device: where to compute.
        workers: worker processes that decode images.
        half: measure and write the last epoch in float16, whatever that changes.
        measured: the figures measured so far, by epoch and test-time flip.
    """

    record: RunRecord
    images: Images
    device: torch.device
    workers: int
    half: bool = False
    measured: dict[tuple[int, bool], Figures] = field(default_factory=dict)

    def figures(self, model: nn.Module, epoch: int, rule: str, flip: bool = False) -> Figures:
        """Measure a model in float32, unless that epoch was measured before.

        Args:
            model: the model with the epoch's weights.
            epoch: from 0.
            rule: which epoch was selected and how, stored with the figures.
            flip: average the logits of each image and its mirror image.
        """
        if (epoch, flip) not in self.measured:
            recipe = self.record.recipe
            options = EvalOptions(self.device, flip, recipe.loss.logit_scale, self.workers)
            self.measured[epoch, flip] = evaluate_model(
                model, self.record.benchmark, self.images, recipe.groups, rule, options
            )
        return replace(self.measured[epoch, flip], rule=rule)


def write_final_checkpoint(
    folder: RunFolder, weights: Mapping[str, Tensor], history: Sequence[Row], evaluation: Evaluation
) -> None:
    """Write `checkpoint/` and then `metrics.json`, which marks the run as finished.

    Args:
        folder: the run folder.
        weights: the state dict of the last epoch.
        history: rows of `summary.csv`.
        evaluation: measures the weights in the form in which they are written.
    """
    record = evaluation.record
    recipe, origin = record.recipe, record.origin() | {"overrides": dict(record.overrides)}
    model = _stored_model(record, weights)
    # All is measured before the checkpoint is begun, whose errors are those of writing it.
    last, half = _measured(model, evaluation)
    metrics = {"recipe": recipe.name, "precision": recipe.precision, **origin, "last": last.to_dict()}
    metrics |= _selected(folder, evaluation)
    with checkpoints.new_checkpoint(folder.checkpoint) as fresh:
        checkpoints.write_model(fresh, model, model_arguments(recipe, record.benchmark.data_set), half)
        summary = {"rule": last.rule, "overall": last.overall, "groups": last.groups}
        checkpoints.update_config(fresh, _description(record, metrics=summary))
        text = json.dumps(metrics, indent=1) + "\n"
        write_text(fresh / checkpoints.METRICS, text)
        shutil.copyfile(folder.summary, fresh / checkpoints.SUMMARY)
        groups, names = make_groups(recipe.groups, record.benchmark), record.benchmark.data_set.class_names
        draw_classes(fresh / checkpoints.CLASSES_PICTURE, record.title, last, groups, names)
        if history:
            measured = "held-out" if record.held_out else "test"
            draw_curves(fresh / checkpoints.CURVES_PICTURE, record.title, history, measured)
        checkpoints.write_card(fresh)
    write_text(folder.metrics, text)


def _stored_model(record: RunRecord, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build the model of a checkpoint from the state dict of the trained one, whose head and adapters are its own."""
    model = build_model(record.recipe, data_set=record.benchmark.data_set)
    put_head(model, record.recipe.head)
    put_adapters(model, record.recipe.trainable, record.benchmark.data_set.shape)
    model.load_state_dict(weights)
    merge_adapters(model)
    fold_head(model)
    return model


def _description(record: RunRecord, **more: Any) -> dict[str, Any]:
    """Describe a run's weights for `config.json`; the final checkpoint adds `metrics`, the others `epoch`."""
    recipe, benchmark = record.recipe, record.benchmark
    groups = make_groups(recipe.groups, benchmark)
    return {
        "recipe": recipe_to_dict(recipe),
        "label_names": list(benchmark.data_set.class_names),
        "class_counts": list(benchmark.class_counts),
        "groups": {groups.rule: {name: list(classes) for name, classes in groups.classes.items()}},
        **more,
        **record.origin(),
        "overrides": dict(record.overrides),
        "run": record.computed(),
        "versions": dict(record.versions),
    }


def _measured(model: nn.Module, evaluation: Evaluation) -> tuple[Figures, bool]:
    """Measure the last epoch's weights as they are written.

    That is in float16 if it was asked for or changes the accuracy of no class.

    Returns:
        Their figures, and whether they are to be written in float16 instead of float32.
    """
    record = evaluation.record
    epoch = record.recipe.schedule.epochs - 1
    rule = checkpoints.evaluated_epoch(record.recipe)
    rule += HELD_OUT_RULE if record.held_out else ""
    rounded = copy.deepcopy(model).half().float()
    too_large = _infinite(model, rounded)
    if evaluation.half:
        if too_large:
            raise InputError(
                f"{too_large} has values beyond 65504, the largest of float16; continue with --resume, without --half"
            )
        return evaluation.figures(rounded, epoch, rule), True
    full = evaluation.figures(model, epoch, rule)
    if too_large:
        return full, False
    evaluation.measured.clear()
    half = evaluation.figures(rounded, epoch, rule)
    if half.per_class == full.per_class:
        return half, True
    evaluation.measured[epoch, False] = full
    return full, False


def _infinite(model: nn.Module, rounded: nn.Module) -> str | None:
    """Name a tensor of a model with finite values that are infinite after rounding; None if there is none."""
    pairs = zip(model.state_dict().items(), rounded.state_dict().values(), strict=True)
    return next((name for (name, value), half in pairs if bool((value.isfinite() & ~half.isfinite()).any())), None)


def _selected(folder: RunFolder, evaluation: Evaluation) -> dict[str, Any]:
    """Measure the most accurate of the measured epochs and, if it could be applied, the one of the paper's rule.

    Both are None where nothing was trained.
    """
    record = evaluation.record
    if record.recipe.head.computed:
        return {"best": None, "paper": None}

    def figures(selection: str, flip: bool, rule: str) -> dict[str, Any]:
        weights, written_with = read_tensors(folder.selected(selection))
        epoch = int(written_with["epoch"])
        model = _stored_model(record, weights)
        return evaluation.figures(model, epoch, rule, flip).to_dict() | {"epoch": epoch}

    measured = ValInterval.parse(str(record.how["val_interval"]))
    best = figures("best", False, _rule_in_words(measured, False, record.held_out))
    rule = applied_paper_rule(record.recipe, measured)
    if rule is None:
        return {"best": best, "paper": None}
    words = _rule_in_words(ValInterval(rule.interval), rule.flip, record.held_out)
    return {"best": best, "paper": figures("paper", rule.flip, words)}


def applied_paper_rule(recipe: Recipe, val_interval: ValInterval) -> PaperRule | None:
    """Return the paper's rule if the run measures every epoch that the rule compares; otherwise None.

    Args:
        recipe: its `paper_rule` selects among every so many epochs.
        val_interval: which epochs the run measures.
    """
    rule = recipe.paper_rule
    return rule if rule is not None and val_interval.covers(rule.interval, recipe.schedule.epochs) else None


def _rule_in_words(looked: ValInterval, flip: bool, held_out: bool) -> str:
    """Describe how an epoch was selected and measured."""
    flipped = ", logits averaged with those of the mirror image" if flip else ""
    return f"best epoch on {'held-out images' if held_out else 'the test set'}, {looked.in_words()}{flipped}"
