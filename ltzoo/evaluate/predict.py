"""Run a model over images."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ltzoo.errors import InputError


@dataclass(frozen=True)
class Predictions:
    """A model's logits for each test image, and the labels.

    Attributes:
        logits: (N, C) float32, on the CPU.
        labels: (N,) int64, on the CPU.
    """

    logits: Tensor
    labels: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class with the highest logit for each image, (N,) int64; the first of equal logits."""
        return self.logits.argmax(dim=1)


def predict(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    forward: Callable[[Tensor], Tensor] | None = None,
    flip: bool = False,
) -> Predictions:
    """Collect a model's logits in evaluation mode; afterwards each module is back in the mode it was in.

    Args:
        model: a classifier.
        batches: (images, labels), each image once.
        forward: maps images to logits; by default `model` itself (pass an autocast wrapper of it, for example).
        flip: average the logits of each image and its mirror image (the evaluation of `lyu2025`).

    Raises:
        InputError: there are no batches.
    """
    found = [(output.cpu(), targets.cpu()) for output, targets in _outputs(model, batches, forward or model, flip)]
    if not found:
        raise InputError("there are no images to predict; pass at least one batch")
    logits, labels = zip(*found, strict=True)
    return Predictions(torch.cat(logits), torch.cat(labels))


def predict_classes(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, forward: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Collect the predicted classes only, without storing thousands of logits per image; see `predict`.

    Args:
        model: a classifier.
        batches: (images, labels), each image once; may be empty.
        forward: maps images to logits (B, C), or (B, C, E) for E predictions of each; by default `model` itself.

    Returns:
        Predicted classes, (N,) or (N, E), and labels, (N,), int64, on the CPU.
    """
    none = torch.empty(0, dtype=torch.int64)  # joins tensors of any shape
    predicted, labels = [none], [none]
    for output, targets in _outputs(model, batches, forward or model):
        predicted.append(output.argmax(dim=1).cpu())
        labels.append(targets.cpu())
    return torch.cat(predicted), torch.cat(labels)


@torch.no_grad()
def _outputs(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    forward: Callable[[Tensor], Tensor],
    flip: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield float32 logits and labels of each batch, in evaluation mode."""
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        for images, targets in batches:
            output = forward(images).float()
            if flip:
                output = (output + forward(images.flip(-1)).float()) / 2
            yield output, targets
    finally:
        for module, training in was_training.items():
            module.training = training
