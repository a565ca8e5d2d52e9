"""Classifier heads: how features become logits."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class OwnClassifier(nn.Module):
    """What ltzoo's heads share: `weight` has one row per class, (num_classes, in_features), as in `nn.Linear`."""

    word: ClassVar[str]
    """The word that `classifier=` takes."""

    added: ClassVar[tuple[str, ...]] = ()
    """Parameters and buffers that a linear classifier lacks; the others are those of `nn.Linear`."""

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
        self.add_own(device, dtype)
        self.reset_parameters()

    def add_own(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Add what the head has beside `weight`; `reset_parameters` gives the values."""

    def reset_parameters(self) -> None:
        """Draw each class vector uniformly from the cube [-1, 1]^in_features and scale it to unit length (Cao 2019)."""
        nn.init.uniform_(self.weight, -1.0, 1.0)
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight, dim=1))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # For other classes timm removes a classifier's weight and bias before loading; the rest belongs to them.
        if f"{prefix}weight" not in state_dict:
            for key in self.added:
                state_dict.pop(f"{prefix}{key}", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Describe the layer inside `print(model)`."""
        return f"in_features={self.in_features}, num_classes={self.num_classes}"


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """Turn autocast off on a type of device; some, such as `meta`, have none."""
    available = torch.amp.is_autocast_available(device_type)
    return torch.autocast(device_type, enabled=False) if available else nullcontext()


@torch.fx.wrap
def cosines(x: Tensor, weight: Tensor) -> Tensor:
    """Compute the cosines of features (..., F) and class vectors (C, F): (..., C), in the dtype of `weight`.

    Autocast does not change that dtype, except in TorchScript, which cannot turn it off: scaled to logits of 25,
    cosines in bfloat16 would be rounded to 0.1.
    """
    if torch.jit.is_scripting():
        return F.linear(F.normalize(x.to(weight.dtype), dim=-1), F.normalize(weight, dim=1))
    with without_autocast(x.device.type):
        return F.linear(F.normalize(x.to(weight.dtype), dim=-1), F.normalize(weight, dim=1))


class CosineClassifier(OwnClassifier):
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

    word: ClassVar[str] = "cosine"

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., in_features) to cosine logits (..., num_classes); an all-zero feature has logits 0."""
        return cosines(x, self.weight)


class NearestMeanClassifier(OwnClassifier):
    """Nearest class mean: each logit is -|u - w_j|^2, with u = (x - center) / |x - center|.

    Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020, section 4, as in its
    code (`cl2n` features): `center` is the mean of all training features, w_j the mean of class j's u, which is not
    normalised again. `fit_nearest_mean_` computes both. The class means are not on the unit sphere, so that the
    distance is not a matter of directions alone, and u is not linear in x: no linear layer has these logits.

    Args:
        in_features: Size of a feature vector.
        num_classes: Number of classes.
        device: Device of the weight.
        dtype: Dtype of the weight.

    Attributes:
        weight: The class means w_j, (num_classes, in_features).
        center: The mean of all training features, (in_features,), a buffer; 0 at first.
    """

    center: Tensor
    word: ClassVar[str] = "nearest_mean"
    added: ClassVar[tuple[str, ...]] = ("center",)

    def add_own(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """See `OwnClassifier.add_own`."""
        self.register_buffer("center", torch.empty(self.in_features, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Draw random class means of unit length; the center is 0."""
        super().reset_parameters()
        nn.init.zeros_(self.center)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., in_features) to logits (..., num_classes), in [-4, 0] if the means are."""
        u = F.normalize(x - self.center, dim=-1)
        squared = u.square().sum(dim=-1, keepdim=True) + self.weight.square().sum(dim=1)
        return 2 * F.linear(u, self.weight) - squared


class DisAlignClassifier(OwnClassifier):
    """Linear classifier with a learned alignment: (1 + c * a_j) * f_j + c * b_j, f = weight x + bias.

    Zhang et al., Distribution Alignment: A Unified Framework for Long-tail Visual Recognition, CVPR 2021, section 3.2,
    in the form of its code (the text has 1 + c * (a_j - 1)). The confidence c = sigmoid(w . x + w0) depends on the
    image, so that no linear layer has these logits.

    Args:
        in_features: Size of a feature vector.
        num_classes: Number of classes.
        device: Device of the weights.
        dtype: Dtype of the weights.

    Attributes:
        weight: (num_classes, in_features), of the first stage.
        bias: (num_classes,), of the first stage.
        scale: (num_classes,), a; 1 at first.
        offset: (num_classes,), b; 0 at first.
        confidence_weight: (in_features,), w; 0.1 at first.
        confidence_bias: (1,), w0; initialised as the bias of `nn.Linear(in_features, 1)`.
    """

    word: ClassVar[str] = "disalign"
    added: ClassVar[tuple[str, ...]] = ("scale", "offset", "confidence_weight", "confidence_bias")

    def add_own(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """See `OwnClassifier.add_own`."""

        def parameter(size: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(size, device=device, dtype=dtype))

        self.bias, self.scale, self.offset = (parameter(self.num_classes) for _ in range(3))
        self.confidence_weight, self.confidence_bias = parameter(self.in_features), parameter(1)

    def reset_parameters(self) -> None:
        """Initialise the alignment as its authors do; the linear classifier has random directions and no bias."""
        super().reset_parameters()
        for values, start in ((self.bias, 0.0), (self.scale, 1.0), (self.offset, 0.0), (self.confidence_weight, 0.1)):
            nn.init.constant_(values, start)
        nn.init.uniform_(self.confidence_bias, -(self.in_features**-0.5), self.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., in_features) to logits (..., num_classes)."""
        logits = F.linear(x, self.weight, self.bias)
        confidence = torch.sigmoid((x * self.confidence_weight).sum(dim=-1, keepdim=True) + self.confidence_bias)
        return (1 + confidence * self.scale) * logits + confidence * self.offset


class ScaledLinear(nn.Module):
    """A linear classifier with a learned factor per class, s_j * (w_j . x + b_j), only while it trains.

    The learnable weight scaling (LWS) of Kang et al. 2020, also the second stage of MiSLAS (Zhong et al. 2021).
    `folded` gives the linear layer that computes the same.

    Args:
        linear: the trained classifier; its weights are shared, not copied.

    Attributes:
        weight: (num_classes, in_features), that of `linear`.
        bias: (num_classes,), that of `linear`.
        scale: (num_classes,), s; 1 at first.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = nn.Parameter(torch.ones_like(linear.weight[:, 0]))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., in_features) to logits (..., num_classes)."""
        return self.scale * F.linear(x, self.weight, self.bias)

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """Return the linear layer with weights s_j * w_j and biases s_j * b_j, which has the same logits."""
        classes, width = self.weight.shape
        linear = nn.Linear(width, classes, self.bias is not None, device=self.weight.device, dtype=self.weight.dtype)
        linear.weight.copy_(self.scale[:, None] * self.weight)
        if self.bias is not None:
            linear.bias.copy_(self.scale * self.bias)
        return linear


class ScaledCosineClassifier(nn.Module):
    """A scaled cosine classifier, s * cos(w_j, x), only while it trains; its class vectors begin as class means.

    The head of LIFT (Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts, ICML 2024).

    No linear layer has these logits, since each image's features are divided by their own length. `folded` gives the
    linear layer that divides by the mean length instead: the order of an image's logits, and so the predicted classes,
    are the same, and the logits differ by one factor per image.

    Args:
        linear: the classifier that it replaces; its weight is shared, not copied. A bias is not used.
        scale: s.

    Attributes:
        weight: (num_classes, in_features), of which only the rows' directions matter.
        feature_length: (), the mean length of the training images' features: a running mean over the batches.
    """

    feature_length: Tensor
    momentum = 0.1
    """Weight of a batch in the running mean, BatchNorm's default."""

    def __init__(self, linear: nn.Linear, scale: float) -> None:
        super().__init__()
        self.weight, self.scale, self.has_bias = linear.weight, scale, linear.bias is not None
        self.register_buffer("feature_length", torch.ones_like(linear.weight[0, 0].detach()))

    def forward(self, x: Tensor) -> Tensor:
        """Map features (..., in_features) to logits (..., num_classes), in [-s, s]."""
        if self.training:
            self.feature_length.lerp_(x.detach().to(self.weight.dtype).norm(dim=-1).mean(), self.momentum)
        return self.scale * cosines(x, self.weight)

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """Return the linear layer with the weights s * w_j / |w_j| / feature_length, and a bias of 0 if there was one.

        For features of that length it has the same logits.
        """
        classes, width = self.weight.shape
        linear = nn.Linear(width, classes, self.has_bias, device=self.weight.device, dtype=self.weight.dtype)
        linear.weight.copy_(self.scale * F.normalize(self.weight, dim=1) / self.feature_length)
        if self.has_bias:
            nn.init.zeros_(linear.bias)
        return linear
