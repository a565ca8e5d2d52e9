"""Checks before training: do the parts of a recipe work together, and are its settings plausible?"""

import copy
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ltzoo.data import Benchmark, ClassAwareSampler
from ltzoo.errors import InputError, counted, first_few, shortened
from ltzoo.evaluate import predict
from ltzoo.losses import GLMC, Loss, LossModule, NoReweighting
from ltzoo.recipes import Fresh, Recipe
from ltzoo.sharpness import tail_partition
from ltzoo.sharpness.schedules import in_first_stage
from ltzoo.train.forward import asked_of_model, feature_size, model_outputs, views_as_one_batch

_LARGEST_USUAL_ADAMW_LR = 1e-3
_LARGEST_SHARE_OF_INITIAL_WEIGHTS = 0.05
_OF_LOGITS = ("ce", "focal", "la", "bs", "vs", "las", "logit_ldam")
"""Losses of logits of any size."""


def check_parts(
    model: nn.Module,
    recipe: Recipe,
    benchmark: Benchmark,
    compile_backend: str | None,
    smallest_batch: int = 2,
    processes: int = 1,
    largest_batch: int = 2,
) -> None:
    """Run model, loss and perturbation once, so that faults are reported before training.

    Args:
        model: the recipe's model.
        recipe: the recipe to train.
        benchmark: its images and class counts.
        compile_backend: backend of `torch.compile`, None for eager.
        smallest_batch: images per process in the smallest batch of an epoch.
        processes: how many take part.
        largest_batch: images per process in the largest batch of an epoch.

    Raises:
        InputError: the model does not accept the benchmark's images, the loss or the perturbation fails, a batch is too
            large or too small for them, or torch does not know the backend.
    """
    if compile_backend is not None and compile_backend not in torch.compiler.list_backends(exclude_tags=()):
        usual = ", ".join(torch.compiler.list_backends())
        raise InputError(f"torch.compile has no backend {compile_backend!r}; choose one of {usual}")
    try:
        recipe.loss.check_batch_size(largest_batch)
    except ValueError as error:
        raise InputError(str(error)) from error
    data_set, counts, epochs = benchmark.data_set, benchmark.class_counts, recipe.schedule.epochs
    images = torch.zeros(2, data_set.channels, data_set.image_size, data_set.image_size)
    targets = torch.zeros(2, dtype=torch.int64)
    try:
        predict(model, [(images, targets)])
    except Exception as error:  # architectures differ in what they raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{recipe.architecture} does not accept images of shape {tuple(images.shape[1:])}: {reason}"
        ) from error
    fewest = smallest_batch // min(recipe.micro_batches, smallest_batch)
    part, flag = (
        ("the last batch of an epoch", "batch-size") if smallest_batch == 1 else ("a micro-batch", "micro-batches")
    )
    # Its views are seen together.
    one_image = fewest * (recipe.loss.model_views or recipe.loss.views) == 1
    if one_image and recipe.trainable.batchnorm != "frozen":
        _check_one_image(model, images[:1], part, flag)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            loss = recipe.loss.bind(counts, feature_size(model))
            _check_state(recipe, loss, processes)
            if isinstance(loss, LossModule):
                loss.attach(model)
            _check_loss(loss, recipe.loss, model.eval(), images, targets)
    except InputError:
        raise
    except Exception as error:  # a custom loss can raise anything
        raise InputError(
            f"the loss {recipe.loss.name!r} fails: {type(error).__name__}: {shortened(str(error))}"
        ) from error
    if fewest == 1:
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                _check_loss(loss, recipe.loss, model, images[:1], targets[:1])
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{part} has a single image, and the loss {recipe.loss.name!r} cannot be computed for one "
                f"({shortened(str(error))}); choose another --{flag}"
            ) from error
    try:
        for epoch in range(epochs):
            recipe.perturbation.table(counts, epoch, epochs)
            recipe.perturbation.radii(epoch, epochs)
    except Exception as error:  # as for custom losses
        found_in = f"in epoch {epoch + 1}: {type(error).__name__}: {shortened(str(error))}"
        raise InputError(f"the perturbation {recipe.perturbation.name!r} fails {found_in}") from error


def check_classes_drawn(recipe: Recipe, labels: np.ndarray | Tensor, class_names: Sequence[str]) -> None:
    """Check that a sampler that draws every class finds an image of each.

    Args:
        recipe: the recipe to train.
        labels: (N,) classes of the training images.
        class_names: what they mean.

    Raises:
        InputError: a class has no training image.
    """
    if not isinstance(recipe.sampler, ClassAwareSampler):
        return
    counts = torch.bincount(torch.as_tensor(labels), minlength=len(class_names)).tolist()
    empty = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if empty:
        raise InputError(
            f"the sampler {recipe.sampler.name} draws all classes equally often, but {first_few(empty)} has no "
            "training image; add some, or use the sampler instance"
        )


def _outputs(model: nn.Module, loss: Loss, images: Tensor) -> Any:
    """Compute what a loss gets for images (B, channels, H, W), each of which stands for all its views."""
    seen, views = loss.model_views, loss.views
    if views < 1 or not (seen is None or 1 <= seen <= views):
        raise InputError(f"the loss {loss.name!r} lets the model see {seen} of {views} views; name 1 to {views}")
    batch = images if views == 1 else images.unsqueeze(1).repeat(1, views, 1, 1, 1)
    return views_as_one_batch(model_outputs(model, asked_of_model(loss)), loss)(batch)


def _check_loss(criterion: nn.Module, loss: Loss, model: nn.Module, images: Tensor, targets: Tensor) -> None:
    """Check that a loss returns one value per image."""
    found = tuple(criterion(_outputs(model, loss, images), targets).shape)
    if found != targets.shape:
        images_in_words = "two images" if len(targets) == 2 else "one image"
        raise InputError(
            f"the loss {loss.name!r} must return one value per image, shape {tuple(targets.shape)} for "
            f"{images_in_words}, not {found}"
        )


def _check_state(recipe: Recipe, module: nn.Module, processes: int) -> None:
    """Check that a loss's module and its record agree, that its state can be saved, and that it suits the processes."""
    loss = recipe.loss
    if processes > 1 and loss.single_process:
        raise InputError(f"the loss {loss.name!r} runs in one process alone, not in {processes}; launch one")
    if processes > 1 and loss.gathers_images and recipe.ascent != "averaged":
        raise InputError(
            f"the loss {loss.name!r} compares the images of all {processes} processes, so that none has a gradient of "
            "its own; set ascent to averaged"
        )
    if not isinstance(module, LossModule):
        if any(True for _ in module.parameters()) or hasattr(module, "commit"):
            raise InputError(
                f"the loss {loss.name!r} has parameters or state: its module must extend ltzoo.losses.LossModule, "
                "so that they are saved and restored"
            )
        return
    for flag in ("asks", "ties_images", "single_process", "gathers_images"):
        if getattr(module, flag) != getattr(loss, flag):
            raise InputError(
                f"the module of the loss {loss.name!r} has another {flag} than the loss itself; "
                "pass the loss on: super().__init__(loss)"
            )


def _check_one_image(model: nn.Module, image: Tensor, part: str, flag: str) -> None:
    """Check that a model can be trained on a batch of one image; BatchNorm cannot if feature maps have one pixel."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(model).train()(image)
    except ValueError as error:
        raise InputError(
            f"{part} has a single image, and the model cannot be trained on one ({shortened(str(error))}); "
            f"choose another --{flag}"
        ) from error


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
