"""timm builder and default_cfg shared by the networks for CIFAR."""

from typing import Any, TypeVar

from timm.models import build_model_with_cfg
from torch import nn

_Network = TypeVar("_Network", bound=nn.Module)


def build_cifar_resnet(kind: type[_Network], variant: str, pretrained: bool, **kwargs: Any) -> _Network:
    """Build a network of three stages with timm's builder.

    Args:
        kind: Class of the network.
        variant: Name of the entry point, which has a default_cfg.
        pretrained: Whether timm loads weights.
        **kwargs: Arguments of the builder and of the class.
    """
    feature_cfg = {"out_indices": (0, 1, 2), **kwargs.pop("feature_cfg", {})}  # timm's default is five levels
    return build_model_with_cfg(kind, variant, pretrained, feature_cfg=feature_cfg, **kwargs)


def cifar_cfg(**kwargs: Any) -> dict[str, Any]:
    """Make a timm default_cfg for CIFAR images.

    Args:
        **kwargs: Further or different entries, such as `pool_size`, the size of the last features.
    """
    return {
        "num_classes": 10,  # as in the paper, whose benchmark is CIFAR-10; the statistics are CIFAR-10's
        "input_size": (3, 32, 32),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.4914, 0.4822, 0.4465),
        "std": (0.2023, 0.1994, 0.2010),
        "first_conv": "conv1",
        "classifier": "fc",
        "license": "apache-2.0",
        "paper_name": "Deep Residual Learning for Image Recognition",
        "paper_ids": "arXiv:1512.03385",
        **kwargs,
    }
