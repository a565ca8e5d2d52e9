"""Run a model over the test images."""

from collections.abc import Callable, Iterable
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


@torch.no_grad()
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
    forward = forward or model
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    logits, labels = [], []
    try:
        for images, targets in batches:
            output = forward(images).float()
            if flip:
                output = (output + forward(images.flip(-1)).float()) / 2
            logits.append(output.cpu())
            labels.append(targets.cpu())
    finally:
        for module, training in was_training.items():
            module.training = training
    return Predictions(torch.cat(logits), torch.cat(labels))
