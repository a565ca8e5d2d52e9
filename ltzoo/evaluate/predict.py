"""Run a model over the test images."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Predictions:
    """What a model said of each test image.

    Attributes:
        logits: (N, C) float32, on the CPU.
        labels: (N,) int64, on the CPU.
    """

    logits: Tensor
    labels: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class of each image's highest logit, (N,) int64; of equal logits the first counts."""
        return self.logits.argmax(dim=1)


def predict(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    forward: Callable[[Tensor], Tensor] | None = None,
    flip: bool = False,
) -> Predictions:
    """Collect a model's logits in evaluation mode; the mode that each of its modules was in comes back.

    Args:
        model: a classifier.
        batches: (images, labels), each image once.
        forward: images to logits, `model` itself unless given (an autocast wrapper of it, say).
        flip: average the logits of the image and of its mirror image (paper B's evaluation).
    """
    found = [(output.cpu(), targets.cpu()) for output, targets in _outputs(model, batches, forward or model, flip)]
    logits, labels = zip(*found, strict=True)
    return Predictions(torch.cat(logits), torch.cat(labels))


def predict_classes(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, forward: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Collect the predicted classes alone, where thousands of logits an image are not wanted; see `predict`.

    Args:
        model: a classifier.
        batches: (images, labels), each image once; there may be none.
        forward: images to logits, `model` itself unless given.

    Returns:
        Predicted classes and labels, (N,) int64 each, on the CPU.
    """
    none = torch.empty(0, dtype=torch.int64)
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
