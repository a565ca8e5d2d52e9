"""Classifier heads: how features become logits."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineClassifier(nn.Module):
    """Bias-free normalised classifier: each logit is the cosine of the angle between a feature and a class vector.

    The head that LDAM needs (Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss,
    NeurIPS 2019, https://arxiv.org/abs/1906.07413). The logits are in [-1, 1]; the scale s is part of the loss.

    Args:
        in_features: Size of a feature vector.
        num_classes: Number of classes.
        device: Device of the weight.
        dtype: Dtype of the weight.

    Attributes:
        weight: One row per class, (num_classes, in_features), as in `nn.Linear`. Only the rows' directions matter.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.num_classes = num_classes
        self.weight = nn.Parameter(torch.empty(num_classes, in_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each class vector uniformly from the cube [-1, 1]^in_features and scale it to unit length (Cao 2019)."""
        nn.init.uniform_(self.weight, -1.0, 1.0)
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., in_features) to cosine logits (..., num_classes); an all-zero feature has logits 0."""
        return F.linear(F.normalize(x, dim=-1), F.normalize(self.weight, dim=1))

    def extra_repr(self) -> str:
        """Describe the layer inside `print(model)`."""
        return f"in_features={self.in_features}, num_classes={self.num_classes}"


def classifier_of(model: nn.Module) -> nn.Module:
    """Return the classifier of a timm model; if it has several, as distilled models do, a `ModuleList` of them."""
    found = cast(Any, model).get_classifier()
    return found if isinstance(found, nn.Module) else nn.ModuleList(found)


_CLASSIFIERS: dict[str, type[nn.Module]] = {"linear": nn.Linear, "cosine": CosineClassifier}


def classifier_class(name: str) -> type[nn.Module]:
    """Return the class of a classifier; its arguments are those of `nn.Linear`.

    Args:
        name: 'linear' or 'cosine'.

    Raises:
        ValueError: No classifier has this name.
    """
    if name not in _CLASSIFIERS:
        raise ValueError(f"classifier must be 'linear' or 'cosine', not {name!r}")
    return _CLASSIFIERS[name]
