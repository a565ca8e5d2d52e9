"""timm's ResNet-50 with the normalised classifier of LDAM.

Papers: `Deep Residual Learning for Image Recognition`, section 4.1 - https://arxiv.org/abs/1512.03385,
`Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss` - https://arxiv.org/abs/1906.07413.
"""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet

from ltzoo.models.heads import CosineClassifier

__all__ = ["CosineResNet"]  # register_model adds each entry point


class CosineResNet(ResNet):
    """timm's ResNet with a `CosineClassifier` as `fc`. Apart from the missing bias, its state dict has timm's names.

    Args:
        classifier: Only 'cosine'; the argument exists because other architectures here accept 'linear' too.
        **kwargs: Any argument of timm's ResNet; `block` and `layers` are required.

    Raises:
        ValueError: `classifier` is not 'cosine'; use timm's own ResNet for a linear one.
    """

    def __init__(self, *, classifier: str = "cosine", **kwargs: Any) -> None:
        if classifier != "cosine":
            raise ValueError(f"classifier must be 'cosine' here, not {classifier!r}; timm's own ResNets are linear")
        super().__init__(**kwargs)
        self.reset_classifier(self.num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one.

        Args:
            num_classes: Number of classes; 0 for no classifier.
            global_pool: Type of global pooling; None keeps the current one.
        """
        super().reset_classifier(num_classes, global_pool)
        if num_classes > 0:
            weight = self.fc.weight  # of timm's linear classifier: feature width, device, dtype
            self.fc = CosineClassifier(weight.shape[1], num_classes, device=weight.device, dtype=weight.dtype)
            self.fc.train(self.training)


default_cfgs = generate_default_cfgs(
    {
        "resnet50_cosine": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "conv1",
            "classifier": "fc",
            "license": "apache-2.0",
            "paper_name": "Deep Residual Learning for Image Recognition",
            "paper_ids": "arXiv:1512.03385",
        }
    }
)


@register_model
def resnet50_cosine(pretrained: bool = False, **kwargs: Any) -> CosineResNet:
    """ResNet-50 (He et al., 2016) with LDAM's classifier (Cao et al., 2019): 23.5 M parameters plus 2048 per class."""
    model_args = {"block": Bottleneck, "layers": (3, 4, 6, 3), **kwargs}
    return build_model_with_cfg(CosineResNet, "resnet50_cosine", pretrained, **model_args)
