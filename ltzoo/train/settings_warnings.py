"""Warnings before training: settings of a recipe that are probably a mistake."""

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from ltzoo.errors import counted
from ltzoo.losses import GLMC, NoReweighting
from ltzoo.recipes import Fresh, Recipe
from ltzoo.sharpness import tail_partition
from ltzoo.sharpness.schedules import in_first_stage

_LARGEST_USUAL_ADAMW_LR = 1e-3
_LARGEST_SHARE_OF_INITIAL_WEIGHTS = 0.05
_OF_LOGITS = ("ce", "focal", "la", "bs", "vs", "las", "logit_ldam")
"""Losses of logits of any size."""


def settings_warnings(recipe: Recipe, class_counts: Sequence[int], compile_backend: str | None = None) -> list[str]:
    """List settings that are probably a mistake, one line each; they do not stop the training.

    Args:
        recipe: the recipe to train.
        class_counts: (C,) training images of each class.
        compile_backend: backend of `torch.compile`, None for eager.
    """
    found = []
    kept = {"head": ["all weights but the head's"], "backbone": ["the head's weights"]}
    frozen = kept.get(recipe.trainable.weights, [])
    frozen += ["BatchNorm's statistics"] if recipe.trainable.batchnorm == "frozen" else []
    if frozen and recipe.start == Fresh():
        found.append(
            f"{' and '.join(frozen)} will keep their initial values; to start from trained weights, add --pretrained "
            "or --initial-checkpoint"
        )
    if recipe.optimizer.kind == "adamw" and recipe.optimizer.lr > _LARGEST_USUAL_ADAMW_LR:
        found.append(
            f"a learning rate of {recipe.optimizer.lr} is large for adamw; try a smaller one, such as --lr 1e-4"
        )
    if recipe.loss.weighs and not isinstance(recipe.reweighting, NoReweighting):
        found.append(
            f"the loss {recipe.loss.name} weights the classes itself, so that they count twice with the re-weighting "
            f"{recipe.reweighting.name}; set reweighting.name to none"
        )
    eta = getattr(recipe.perturbation, "eta", None)
    if eta is not None:
        tail = int(tail_partition(torch.tensor(class_counts), eta).sum())
        if tail in (0, len(class_counts)):
            which = "no class" if tail == 0 else "every class"
            found.append(
                f"with perturbation.eta {eta}, {which} belongs to the tail; set it between {min(class_counts)} and "
                f"{max(class_counts)}, or to a share of the classes, as in {{share: 0.65}}"
            )
    found += _ema_warnings(recipe, sum(class_counts))
    if recipe.loss.name == "ldam" and recipe.head.name != "cosine":
        found.append(
            f"the loss ldam is for cosines, and the head {recipe.head.name} has logits of any size; set head.name to "
            "cosine, or the loss to logit_ldam"
        )
    if recipe.head.name == "cosine" and recipe.loss.name in _OF_LOGITS:
        found.append(
            f"the head cosine gives logits from -1 to 1, which are too small for the loss {recipe.loss.name}; set "
            "head.name to linear, or head to {name: scaled_cosine, scale: 25}"
        )
    if compile_backend is not None and (passes := _passes_of_classifier(recipe, class_counts)):
        found.append(
            f"{recipe.perturbation.name} repeats the classifier alone, which cannot be done within a compiled model: "
            f"each step takes {1 + passes} forward passes through the whole model instead of 1; leave --torchcompile "
            "out"
        )
    return found + _late_warnings(recipe)


def _ema_warnings(recipe: Recipe, images: int) -> list[str]:
    """Warn of a moving average that keeps much of the initial weights to the end."""
    if recipe.ema_decay is None:
        return []
    in_epoch = math.ceil(recipe.sampler.length(images, recipe.batch_size) / recipe.batch_size)
    steps = in_epoch * recipe.schedule.epochs
    initial = recipe.ema_decay**steps
    if initial <= _LARGEST_SHARE_OF_INITIAL_WEIGHTS:
        return []
    decay = math.floor(1000 * _LARGEST_SHARE_OF_INITIAL_WEIGHTS ** (1 / steps)) / 1000
    return [
        f"after about {counted(steps, 'step')}, the moving average with decay {recipe.ema_decay} still has "
        f"{100 * initial:.0f} % of the initial weights; give --model-ema-decay {decay:g} or less"
    ]


def _passes_of_classifier(recipe: Recipe, class_counts: Sequence[int]) -> int:
    """Count the rows that move the classifier alone, in the middle of the training."""
    epochs = recipe.schedule.epochs
    if not epochs:  # the head is computed
        return 0
    table = recipe.perturbation.table(class_counts, epochs // 2, epochs)
    return sum(row.scope == "classifier" and row.radius > 0 for row in table.rows if table.direction == "gradient")


def _late_warnings(recipe: Recipe) -> list[str]:
    """List what begins after the last epoch or has no epoch, and drops of the learning rate that fall together."""
    epochs, schedule = recipe.schedule.epochs, recipe.schedule
    begins = {"schedule.warmup_epochs": schedule.warmup_epochs}
    begins["reweighting.start"] = getattr(recipe.reweighting, "start", 0)
    begins["loss.start"] = getattr(recipe.loss, "start", 0)
    begins |= {f"schedule.milestones.{k}": milestone for k, milestone in enumerate(schedule.milestones)}
    begins |= {f"views.{k}.mixup_off_epoch": view.mixup_off_epoch or 0 for k, view in enumerate(recipe.views)}
    for name, radius in _fields(recipe.perturbation).items():
        begins |= {f"perturbation.{name}.milestones.{k}": at for k, at in enumerate(getattr(radius, "milestones", ()))}
    if not epochs:  # the head is computed
        return []
    found = [
        f"{key} is {epoch}, but the last of {counted(epochs, 'epoch')} is {epochs - 1}, so what it begins never does; "
        f"set it below {epochs}"
        for key, epoch in begins.items()
        if epoch >= epochs
    ]
    for key, gamma in _gammas(recipe).items():
        if gamma > 0 and not in_first_stage(gamma, 0, epochs):
            found.append(
                f"{key} is {gamma}, which of {epochs} epochs is less than one, so there is no first stage; train longer"
            )
    if isinstance(recipe.loss, GLMC) and epochs == 1:
        found.append(f"with 1 epoch, the loss {recipe.loss.name} does not train the model's classifier; train longer")
    together = sorted({milestone for milestone in schedule.milestones if schedule.milestones.count(milestone) > 1})
    if together:
        found.append(
            f"with {counted(epochs, 'epoch')}, {schedule.milestones.count(together[0])} drops of the learning rate "
            f"fall on epoch {together[0]}, and only the last of them counts; train longer, or set "
            "schedule.milestones apart"
        )
    return found


def _gammas(recipe: Recipe) -> dict[str, float]:
    """Return the shares of the epochs that a first stage has, of the perturbation or of its radii, by their keys."""
    perturbation = _fields(recipe.perturbation)
    found = {"perturbation.gamma": perturbation.get("gamma")}
    found |= {f"perturbation.{name}.gamma": getattr(radius, "gamma", None) for name, radius in perturbation.items()}
    return {key: gamma for key, gamma in found.items() if gamma is not None}


def _fields(record: object) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)} if is_dataclass(record) else {}
