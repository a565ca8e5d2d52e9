"""What a model gives its loss while it trains: logits, and more where the loss asks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision, in which constants of a loss would be rounded, to float32; others stay as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@dataclass(frozen=True)
class Outputs:
    """A model's outputs for a batch; None where the loss does not ask for them.

    For a loss with several views of each image (`Loss.views`), each field has the views as its second dimension: logits
    (B, V, C), features (B, V, F). Which views train the classifier depends on the loss.

    Attributes:
        logits: (B, C).
        features: (B, F), the classifier's input.
        experts: (B, E, C), the logits of each expert.
        projections: (B, ...), what projection heads return.
        images: (B, V, channels, H, W), all views of each image, for a loss that runs a network of its own on some.
    """

    logits: Tensor
    features: Tensor | None = None
    experts: Tensor | None = None
    projections: Tensor | None = None
    images: Tensor | None = None

    def float(self) -> "Outputs":
        """Convert tensors in half precision to float32; others stay as they are."""
        return self._map(at_least_float32)

    def detach(self) -> "Outputs":
        """Detach all tensors from the graph."""
        return self._map(Tensor.detach)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> "Outputs":
        """Split a dimension of all tensors, as `Tensor.unflatten` does."""
        return self._map(lambda value: value.unflatten(dim, sizes))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Outputs":
        """Change each tensor."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return replace(self, **{name: change(value) for name, value in values if value is not None})
