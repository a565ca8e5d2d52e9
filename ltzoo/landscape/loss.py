"""The loss that is analysed: cross-entropy, or the recipe's own; and the images that it is taken on."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ltzoo.data import Augmentation, DataSet
from ltzoo.data.batches import BatchSettings, Delivery, EvalBatches, TrainBatches
from ltzoo.data.memory import LabelledImages
from ltzoo.landscape.settings import Settings
from ltzoo.recipes import Recipe

Criterion = Callable[[Tensor, Tensor], Tensor]


def make_criterion(
    recipe: Recipe, epoch: int, settings: Settings, device: torch.device
) -> tuple[Criterion, Tensor | None]:
    """Make the loss of each image, and the weights of their classes.

    Args:
        recipe: what the model was trained by. A cosine classifier's logits are scaled as its loss scales them.
        epoch: how many epochs were trained; the weights are those of the last of them.
        settings: which loss.
        device: where they are to lie.

    Returns:
        Logits (B, C) and labels (B,) to losses (B,), and (C,) class weights or None.
    """
    if settings.loss == "recipe":
        counts, dtype = recipe.data.class_counts, getattr(torch, settings.precision)
        weights = recipe.reweighting.weights(counts, epoch - 1).to(device, dtype)
        return recipe.loss.bind(counts).to(device, dtype), weights
    scale = recipe.loss.logit_scale
    return lambda logits, labels: F.cross_entropy(scale * logits, labels, reduction="none"), None


class AugmentedBatches:
    """Training images that are cropped and flipped anew each time that they are gone through.

    Args:
        images: the images.
        data_set: size and normalisation.
        augmentation: crop and flip.
        chunk: images a batch.
        seed: of the draws.
        device: where the images lie.
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
        self.batches = TrainBatches(images, BatchSettings(data_set, augmentation, chunk, seed), Delivery(device))
        self.times = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.times += 1
        return self.batches.epoch(self.times)


def of_classes(images: LabelledImages, classes: tuple[int, ...]) -> LabelledImages:
    """Take the images of some classes, in their order."""
    kept = torch.isin(images.labels, torch.tensor(classes))
    return LabelledImages(images.images[kept], images.labels[kept])


def make_batches(
    images: LabelledImages, recipe: Recipe, settings: Settings, device: torch.device
) -> EvalBatches | AugmentedBatches:
    """Make the chunks that a curvature goes through."""
    data_set = recipe.data.data_set
    if settings.augment:
        return AugmentedBatches(images, data_set, recipe.augmentation, settings.chunk, settings.seed, device)
    return EvalBatches(images, data_set, settings.chunk, device)
