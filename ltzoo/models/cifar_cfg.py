"""What timm is told of an architecture for CIFAR images."""

from typing import Any


def cifar_cfg(**kwargs: Any) -> dict[str, Any]:
    """Make a timm default_cfg.

    Args:
        **kwargs: What the architecture adds, above all `pool_size`, the size of its last features, or says otherwise.
    """
    return {
        "num_classes": 10,  # CIFAR-10 is the paper's benchmark: its parameter counts and these statistics go with it
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
