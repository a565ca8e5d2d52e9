"""Checks before training: do the parts of a recipe work together?"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ltzoo.data import Benchmark, ClassAwareSampler
from ltzoo.errors import InputError, first_few, shortened
from ltzoo.evaluate import predict
from ltzoo.losses import Loss, LossModule
from ltzoo.recipes import Recipe
from ltzoo.train.forward import asked_of_model, feature_size, model_outputs, views_as_one_batch


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
