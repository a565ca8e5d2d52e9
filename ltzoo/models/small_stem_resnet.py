"""ImageNet's ResNets with a stem for CIFAR-sized images.

Papers: `Deep Residual Learning for Image Recognition`, section 4.1 - https://arxiv.org/abs/1512.03385,
`SSE-SAM: Balancing Head and Tail Classes Gradually through Stage-Wise SAM` (Lyu et al., AAAI 2025), whose code trains
ResNet-34 on CIFAR with this stem; the text of the paper names no network.

Apart from the stem these are timm's ResNets: four stages of 64 to 512 channels and projection shortcuts. ResNet-34 has
21 million parameters, 46 times as many as ResNet-32 in `cifar_resnet`.
"""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from ltzoo.models.cifar_builder import cifar_cfg
from ltzoo.models.classifiers import classifier_class

__all__ = ["SmallStemResNet"]  # register_model adds each entry point


class SmallStemResNet(ResNet):
    """timm's ResNet with a 3x3 stem of stride 1 and without max-pooling; features are four times as high and wide.

    The state dict has the same names as timm's and torchvision's.

    Args:
        in_chans: Number of image channels.
        output_stride: Image size divided by the size of the last features: 8, or 4 or 2 with dilated last stages.
        classifier: 'linear', 'cosine' (the normalised classifier of LDAM), 'nearest_mean' or 'disalign', see
            `ltzoo.models.heads`.
        device: Device of the parameters.
        dtype: Dtype of the parameters.
        **kwargs: Any other argument of timm's ResNet, except those for the stem; `block` and `layers` are required.

    Raises:
        ValueError: `classifier` is unknown.
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
        stride = 4 * output_stride  # in timm's convention
        super().__init__(in_chans=in_chans, output_stride=stride, stem_type="", replace_stem_pool=False, **dd, **kwargs)
        conv1 = nn.Conv2d(in_chans, 64, 3, padding=1, bias=False, **dd)
        nn.init.kaiming_normal_(conv1.weight, mode="fan_out")  # as in timm's ResNet
        self.add_module("conv1", conv1)
        self.add_module("maxpool", nn.Identity())
        stem, *stages = self.feature_info
        stem["reduction"] //= 2
        for stage in stages:
            stage["reduction"] //= 4
        self.make_classifier = classifier_class(classifier)
        self.reset_classifier(self.num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one of the same kind.

        Args:
            num_classes: Number of classes; 0 for no classifier.
            global_pool: Type of global pooling; None keeps the current one.
        """
        super().reset_classifier(num_classes, global_pool)
        if num_classes > 0:
            width, weight = self.fc.in_features, self.conv1.weight  # conv1 has the model's device and dtype
            self.fc = self.make_classifier(width, num_classes, device=weight.device, dtype=weight.dtype)
            self.fc.train(self.training)


default_cfgs = generate_default_cfgs({"resnet34_cifar": cifar_cfg(pool_size=(4, 4))})


@register_model
def resnet34_cifar(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """ResNet-34 (He et al., 2016) for CIFAR as Lyu et al. (2025) train it: 21.3 M parameters."""
    model_args = {"block": BasicBlock, "layers": (3, 4, 6, 3), "zero_init_last": False, **kwargs}
    return build_model_with_cfg(SmallStemResNet, "resnet34_cifar", pretrained, **model_args)
