"""Features of un-augmented images: what a model's classifier sees of them, in evaluation mode."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from ltzoo.evaluate import gather, predict, tf32


def features_of(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Compute the features of images in float32; with several processes, of the images of all of them.

    Args:
        model: a timm model.
        batches: normalised images and labels, each image once; each process has its share.

    Returns:
        Features (N, F) float32 and labels (N,) int64, in image order, on the CPU of every process.
    """
    timm_model = cast(Any, model)

    def forward(images: Tensor) -> Tensor:
        return timm_model.forward_head(timm_model.forward_features(images), pre_logits=True)

    with torch.no_grad(), tf32(False):
        found = predict(model, batches, forward=forward)
    return gather(found.logits), gather(found.labels)
