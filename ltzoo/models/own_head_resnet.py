"""timm's ResNet-50 with a classifier that timm does not have: LDAM's, nearest class mean, DisAlign's.

Papers: `Deep Residual Learning for Image Recognition`, section 4.1 - https://arxiv.org/abs/1512.03385; those of the
classifiers are in `ltzoo.models.heads`.
"""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet

from ltzoo.models.classifiers import OWN_CLASSIFIERS

__all__ = ["OwnHeadResNet"]  # register_model adds each entry point


class OwnHeadResNet(ResNet):
    """timm's ResNet with a classifier of ltzoo as `fc`. Apart from `fc`, its state dict has timm's names.

    Args:
        classifier: A key of `OWN_CLASSIFIERS`, such as 'cosine'.
        **kwargs: Any argument of timm's ResNet; `block` and `layers` are required.

    Raises:
        ValueError: `classifier` is unknown, or is 'linear'; use timm's own ResNet for a linear one.
    """

    def __init__(self, *, classifier: str, **kwargs: Any) -> None:
        if classifier not in OWN_CLASSIFIERS:
            words = ", ".join(OWN_CLASSIFIERS)
            raise ValueError(f"classifier must be one of {words}, not {classifier!r}; timm's own ResNets are linear")
        super().__init__(**kwargs)
        self.make_classifier = OWN_CLASSIFIERS[classifier]
        self.reset_classifier(self.num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one of the same kind.

        Args:
            num_classes: Number of classes; 0 for no classifier.
            global_pool: Type of global pooling; None keeps the current one.
        """
        super().reset_classifier(num_classes, global_pool)
        if num_classes > 0:
            weight = self.fc.weight  # of timm's linear classifier: feature width, device, dtype
            self.fc = self.make_classifier(weight.shape[1], num_classes, device=weight.device, dtype=weight.dtype)
            self.fc.train(self.training)


RESNET50_CFG = {
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
"""How timm describes a ResNet-50 without weights."""

default_cfgs = generate_default_cfgs({f"resnet50_{word}": dict(RESNET50_CFG) for word in OWN_CLASSIFIERS})


def _create(classifier: str, pretrained: bool, kwargs: dict[str, Any]) -> OwnHeadResNet:
    model_args = {"block": Bottleneck, "layers": (3, 4, 6, 3), "classifier": classifier, **kwargs}
    return build_model_with_cfg(OwnHeadResNet, f"resnet50_{classifier}", pretrained, **model_args)


@register_model
def resnet50_cosine(pretrained: bool = False, **kwargs: Any) -> OwnHeadResNet:
    """ResNet-50 (He et al., 2016) with LDAM's classifier (Cao et al., 2019): 23.5 M parameters plus 2048 per class."""
    return _create("cosine", pretrained, kwargs)


@register_model
def resnet50_nearest_mean(pretrained: bool = False, **kwargs: Any) -> OwnHeadResNet:
    """ResNet-50 (He et al., 2016) that takes the nearest class mean (Kang et al., 2020)."""
    return _create("nearest_mean", pretrained, kwargs)


@register_model
def resnet50_disalign(pretrained: bool = False, **kwargs: Any) -> OwnHeadResNet:
    """ResNet-50 (He et al., 2016) with DisAlign's aligned classifier (Zhang et al., 2021)."""
    return _create("disalign", pretrained, kwargs)
