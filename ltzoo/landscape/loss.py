"""The analysed loss, cross-entropy or the recipe's own, and the batches of images."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ltzoo.data import Augmentation, DataSet
from ltzoo.data.batches import BatchSettings, Delivery, EvalBatches, TrainBatches
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from ltzoo.landscape.settings import Settings
from ltzoo.losses import LossModule
from ltzoo.recipes import Recipe

Criterion = Callable[[Tensor, Tensor], Tensor]


def make_criterion(
    recipe: Recipe, epoch: int, settings: Settings, device: torch.device
) -> tuple[Criterion, Tensor | None]:
    """Make the loss function per image and the class weights.

    Args:
        recipe: recipe of the model. The logits of a cosine classifier are scaled as in its loss.
        epoch: number of epochs trained; the class weights are those of the last of them.
        settings: which loss.
        device: device of loss and weights.

    Returns:
        A function from logits (B, C) and labels (B,) to losses (B,), and (C,) class weights or None.
    """
    if settings.loss == "recipe":
        counts, dtype = recipe.data.class_counts, getattr(torch, settings.precision)
        weights = recipe.reweighting.weights(counts, epoch - 1).to(device, dtype)
        several = recipe.loss.views > 1
        if several or recipe.loss.asks or isinstance(recipe.loss.bind(counts, num_features=1), LossModule):
            raise InputError(
                f"the loss {recipe.loss.name} needs more than the logits of an image or keeps a state; use --loss ce"
            )
        return recipe.loss.bind(counts).to(device, dtype), weights
    scale = recipe.loss.logit_scale
    return lambda logits, labels: F.cross_entropy(scale * logits, labels, reduction="none"), None


class AugmentedBatches:
    """Training images with new random crops and flips in each iteration.

    Args:
        images: the images.
        data_set: size and normalisation.
        augmentation: crop and flip.
        chunk: images per batch.
        seed: seed of crops and flips.
        device: device of the batches.
    """

    def __init__(
        self,
        images: LabelledImages,
        data_set: DataSet,
        augmentation: Augmentation,
        chunk: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.batches = TrainBatches(images, BatchSettings(data_set, (augmentation,), chunk, seed), Delivery(device))
        self.iterations = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.iterations += 1
        return self.batches.epoch(self.iterations)


def of_classes(images: LabelledImages, classes: tuple[int, ...]) -> LabelledImages:
    """Select the images of some classes, in order."""
    kept = torch.isin(images.labels, torch.tensor(classes))
    return LabelledImages(images.images[kept], images.labels[kept])


def make_batches(
    images: LabelledImages, recipe: Recipe, settings: Settings, device: torch.device
) -> EvalBatches | AugmentedBatches:
    """Make the batches for a `Curvature`."""
    data_set = recipe.data.data_set
    if settings.augment and not recipe.augmentation.batched:
        raise InputError(f"--augment draws crops and flips, but {recipe.name} augments images in other ways too")
    if settings.augment:
        return AugmentedBatches(images, data_set, recipe.augmentation, settings.chunk, settings.seed, device)
    return EvalBatches(images, data_set, settings.chunk, device)
