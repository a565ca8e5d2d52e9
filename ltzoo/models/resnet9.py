"""ResNet-9: a small network for CIFAR-sized images that a CPU trains in minutes.

It goes back to the network of David Page's entry to DAWNBench (2018): convolutions with few layers at high resolution,
max-pooling between them, and two residual pairs; here with a quarter of the channels. Narrow layers at full resolution
cost a processor more time than their operations say, so most operations are in wide layers at low resolution. Page
multiplies the logits by 1/8; here the last features are divided by 4.
"""

from typing import Any, cast

import torch
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from ltzoo.models.cifar_builder import build_cifar_resnet, cifar_cfg
from ltzoo.models.cifar_resnet import CifarResNet
from ltzoo.models.heads import OwnClassifier

__all__ = ["ResNet9"]  # register_model adds the entry point


class HalvingConv(nn.Module):
    """A 3x3 convolution with BatchNorm and ReLU, then max-pooling by 2.

    Args:
        in_chs: Number of input channels.
        out_chs: Number of output channels.
        device: Device of the parameters.
        dtype: Dtype of the parameters.
    """

    def __init__(
        self, in_chs: int, out_chs: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv1 = nn.Conv2d(in_chs, out_chs, 3, padding=1, bias=False, **dd)
        self.bn1 = nn.BatchNorm2d(out_chs, **dd)
        self.act1 = nn.ReLU()
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_chs, H, W) to (B, out_chs, H / 2, W / 2), odd sizes rounded up."""
        return self.pool(self.act1(self.bn1(self.conv1(x))))


class ResidualPair(nn.Module):
    """Two 3x3 convolutions, each with BatchNorm and ReLU, and a shortcut around both.

    Args:
        chs: Number of channels.
        device: Device of the parameters.
        dtype: Dtype of the parameters.
    """

    def __init__(self, chs: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.conv1 = nn.Conv2d(chs, chs, 3, padding=1, bias=False, **dd)
        self.bn1 = nn.BatchNorm2d(chs, **dd)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(chs, chs, 3, padding=1, bias=False, **dd)
        self.bn2 = nn.BatchNorm2d(chs, **dd)
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, chs, H, W) to the same shape."""
        residual = self.act1(self.bn1(self.conv1(x)))
        return x + self.act2(self.bn2(self.conv2(residual)))


class Quarter(nn.Module):
    """Divides features by 4."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return x / 4


class ResNet9(CifarResNet):
    """Stem, three convolutions that each halve the image, two residual pairs and a classifier: nine layers.

    Args:
        channels: Channels of the stem and of the three stages.
        pairs: Residual pairs of each stage.
        global_pool: timm's type of global pooling.
        **kwargs: Further arguments of `CifarResNet`, except `num_blocks`.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int] = (16, 32, 64, 128),
        pairs: tuple[int, int, int] = (1, 0, 1),
        global_pool: str = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_blocks=pairs, channels=channels, reductions=(2, 4, 8), global_pool=global_pool, **kwargs)
        self.layer3.append(Quarter())

    @staticmethod
    def init_module(module: nn.Module) -> None:
        """Initialise a layer with torch's defaults: small weights, which Muon's steps of fixed length turn sooner."""
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear | OwnClassifier):
            cast(Any, module).reset_parameters()

    @torch.jit.ignore
    def make_stage(self, in_chs: int, out_chs: int, num_blocks: int, stride: int, **dd: Any) -> nn.Sequential:
        """Make a stage: a convolution that halves the image, then residual pairs; `stride` is always 2."""
        pairs = [ResidualPair(out_chs, **dd) for _ in range(num_blocks)]
        return nn.Sequential(HalvingConv(in_chs, out_chs, **dd), *pairs)


default_cfgs = generate_default_cfgs(
    {name: cifar_cfg(pool_size=(4, 4)) for name in ("resnet9_cifar", "resnet9_wide_cifar")}
)


@register_model
def resnet9_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet9:
    """ResNet-9 for CIFAR."""
    return build_cifar_resnet(ResNet9, "resnet9_cifar", pretrained, **kwargs)


@register_model
def resnet9_wide_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet9:
    """ResNet-9 for CIFAR with twice the channels."""
    model_args = {"channels": (32, 64, 128, 256), **kwargs}
    return build_cifar_resnet(ResNet9, "resnet9_wide_cifar", pretrained, **model_args)
