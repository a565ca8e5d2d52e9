"""What most losses have in common: cross-entropy after a class-wise change of the logits."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, get_type_hints

import torch.nn.functional as F
from torch import Tensor, nn


class AdjustedCrossEntropy(nn.Module):
    """Cross-entropy of the logits a_j * z_j + b_j - d_j * [j = y], one value an image.

    | loss | scale a_j | offset b_j | margin d_j |
    |---|---|---|---|
    | CE | 1 | 0 | 0 |
    | LDAM | s | 0 | s * m_j |
    | LDAM of paper B | 1 | 0 | s * m_j |
    | LA | 1 | tau * log pi_j | 0 |
    | VS | 1 / Delta_j | tau * log pi_j | 0 |

    Args:
        scale: (C,) factors a, or None for 1.
        offset: (C,) summands b, or None for 0.
        margin: (C,) what the target's logit loses, d, or None for 0.
    """

    scale: Tensor | None
    offset: Tensor | None
    margin: Tensor | None

    def __init__(
        self, *, scale: Tensor | None = None, offset: Tensor | None = None, margin: Tensor | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)
        self.register_buffer("margin", margin)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image.

        Args:
            logits: (B, C) floating point.
            targets: (B,) int64.

        Returns:
            (B,) losses, in the dtype of `logits`.
        """
        if self.scale is not None:
            logits = logits * self.scale.to(logits.dtype)
        if self.offset is not None:
            logits = logits + self.offset.to(logits.dtype)
        if self.margin is not None:
            lowered = self.margin.to(logits.dtype)[targets].unsqueeze(1)
            logits = logits.scatter_add(1, targets.unsqueeze(1), -lowered)
        return F.cross_entropy(logits, targets, reduction="none")


@dataclass(frozen=True)
class Loss(ABC):
    """The hyper-parameters of a loss. `bind` meets the class counts. A float must be finite and not below 0.

    Attributes:
        name: the word that stands for it in a recipe.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            if hints[field.name] is float and not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise ValueError(f"{field.name} must be finite and not below 0, not {value!r}")

    @property
    def logit_scale(self) -> float:
        """What the model's logits are multiplied by to be those of probabilities: cosines need it."""
        return 1.0

    @abstractmethod
    def bind(self, class_counts: Tensor | Sequence[int]) -> nn.Module:
        """Make the loss of a data set.

        Args:
            class_counts: (C,) training images of each class, all at least 1.

        Returns:
            A module from logits (B, C) and targets (B,) to losses (B,). Its constants are float64, so that they are
            exact in every precision of the logits.
        """
