"""ImageNet's ResNets with a stem for CIFAR-sized images.

Papers: `Deep Residual Learning for Image Recognition`, section 4.1 - https://arxiv.org/abs/1512.03385,
`SSE-SAM: Balancing Head and Tail Classes Gradually through Stage-Wise SAM` (Lyu et al., AAAI 2025), whose code trains
its ResNet-34 on CIFAR with this stem; the paper's text names no network.

These are timm's ResNets but for the stem: four stages of 64 to 512 channels and projection shortcuts. So ResNet-34 has
21 million parameters, 46 times as many as `cifar_resnet`'s ResNet-32.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from ltzoo.models.cifar_cfg import cifar_cfg
from ltzoo.models.classifier import classifier_class

__all__ = ["SmallStemResNet"]  # register_model adds each entry point


class SmallStemResNet(ResNet):
    """timm's ResNet with a 3x3 stem of stride 1 and no max-pooling, so that features have four times the side.

    The names in its state dict are timm's and torchvision's.

    Args:
        in_chans: Number of image channels.
        output_stride: Side of the images over that of the last features: 8, or 4 or 2 for dilated last stages.
        classifier: 'linear', or 'cosine' for the normalised classifier of LDAM (`CosineClassifier`).
        device: Where to put the parameters.
        dtype: Type of the parameters.
        **kwargs: Any other argument of timm's ResNet but those that choose a stem; `block` and `layers` are needed.

    Raises:
        ValueError: `classifier` is neither 'linear' nor 'cosine'.
    """

    feature_info: list[dict[str, Any]]

    def __init__(
        self,
        *,
        in_chans: int = 3,
        output_stride: int = 8,
        classifier: str = "linear",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        stride = 4 * output_stride  # as timm counts it
        super().__init__(in_chans=in_chans, output_stride=stride, stem_type="", replace_stem_pool=False, **dd, **kwargs)
        conv1 = nn.Conv2d(in_chans, 64, 3, padding=1, bias=False, **dd)
        nn.init.kaiming_normal_(conv1.weight, mode="fan_out")  # as timm's ResNet
        self.add_module("conv1", conv1)
        self.add_module("maxpool", nn.Identity())
        stem, *stages = self.feature_info
        stem["reduction"] //= 2
        for stage in stages:
            stage["reduction"] //= 4
        self.make_classifier = classifier_class(classifier)
        self.reset_classifier(self.num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one of the same kind.

        Args:
            num_classes: Number of classes; 0 for no classifier.
            global_pool: Type of global pooling; None keeps the current one.
        """
        super().reset_classifier(num_classes, global_pool)
        if num_classes > 0:
            width, weight = self.fc.in_features, self.conv1.weight  # the weight says where the model lives
            self.fc = self.make_classifier(width, num_classes, device=weight.device, dtype=weight.dtype)
            self.fc.train(self.training)


default_cfgs = generate_default_cfgs({"resnet34_cifar": cifar_cfg(pool_size=(4, 4))})


@register_model
def resnet34_cifar(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """ResNet-34 (He et al., 2016) for CIFAR as Lyu et al. (2025) train it: 21.3 M parameters."""
    model_args = {"block": BasicBlock, "layers": (3, 4, 6, 3), "zero_init_last": False, **kwargs}
    return build_model_with_cfg(SmallStemResNet, "resnet34_cifar", pretrained, **model_args)
