"""What a loss of several views takes from a model's outputs, checked in one line."""

from typing import Any

from torch import Tensor

from ltzoo.losses.outputs import at_least_float32


def take_views(name: str, outputs: Any, views: int, num_features: int) -> tuple[Tensor, Tensor]:
    """Take logits and features out of the outputs for a batch with several views of each image.

    Args:
        name: the loss's.
        outputs: `Outputs`, or another object with `.logits` and `.features`.
        views: V, how many views the model has seen.
        num_features: F.

    Returns:
        Logits (B, V, C) and features (B, V, F); float32 if they are in half precision.

    Raises:
        ValueError: there are no features, or they have another number of views or another size.
    """
    features = getattr(outputs, "features", None)
    if features is None:
        raise ValueError(f"the loss {name} asks for features: pass ltzoo.losses.Outputs(logits, features=features)")
    logits: Tensor = outputs.logits
    batch = (len(features), views)
    if logits.ndim != 3 or logits.shape[:2] != batch or features.shape != (*batch, num_features):
        raise ValueError(
            f"the loss {name} needs logits (B, {views}, C) and features (B, {views}, {num_features}) of {views} "
            f"view{'s' * (views > 1)} per image, not {tuple(logits.shape)} and {tuple(features.shape)}"
        )
    return at_least_float32(logits), at_least_float32(features)


def check_unmixed(name: str, targets: Any) -> None:
    """Check that images have one label each before they enter a loss's state.

    Raises:
        ValueError: they are mixed.
    """
    if not isinstance(targets, Tensor) or targets.ndim != 1:
        raise ValueError(f"the loss {name} needs images of one class each: turn mixup and CutMix off")
