"""ResNets for CIFAR-sized images.

Paper: `Deep Residual Learning for Image Recognition`, section 4.2 - https://arxiv.org/abs/1512.03385

These differ from timm's ResNets in more than the stem: three stages of 16, 32 and 64 channels instead of four of 64 to
512, and shortcuts without parameters. ResNet-32 has 464,154 parameters, timm's ResNet-34 has 21 million. Weights are
initialised as in the long-tail literature since LDAM (Cao et al., 2019, https://arxiv.org/abs/1906.07413).
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from timm.layers import SelectAdaptivePool2d
from timm.models import checkpoint_seq, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from ltzoo.models.cifar_blocks import BasicBlock
from ltzoo.models.cifar_builder import build_cifar_resnet, cifar_cfg
from ltzoo.models.classifiers import classifier_class
from ltzoo.models.heads import OwnClassifier

__all__ = ["CifarResNet"]  # register_model adds each entry point


class CifarResNet(nn.Module):
    """ResNet for CIFAR (He et al., 2016, section 4.2) with 6 * num_blocks + 2 layers.

    A 3x3 stem, three stages of 16, 32 and 64 channels (the second and third halve the image), global pooling and a
    classifier. Images need not be 32x32, nor have three channels.

    Args:
        num_blocks: Residual blocks per stage, one number or one for each of the three stages.
        num_classes: Number of classes; 0 for no classifier.
        in_chans: Number of image channels.
        global_pool: timm's type of global pooling: 'avg', 'max', 'avgmax', 'catavgmax', or '' for none.
        drop_rate: Dropout probability before the classifier, in training.
        classifier: 'linear', 'cosine' (the normalised classifier of LDAM), 'nearest_mean' or 'disalign', see
            `ltzoo.models.heads`.
        channels: Channels of the stem and of the three stages.
        reductions: Size of the image over that of each stage's output.
        device: Device of the parameters.
        dtype: Dtype of the parameters.

    Raises:
        ValueError: `classifier` is unknown.
    """

    feature_info: list[dict[str, Any]]

    def __init__(
        self,
        num_blocks: int | tuple[int, int, int],
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        classifier: str = "linear",
        channels: tuple[int, int, int, int] = (16, 16, 32, 64),
        reductions: tuple[int, int, int] = (1, 2, 4),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.make_classifier = classifier_class(classifier)
        self.grad_checkpointing = False

        stem, *widths = channels
        first, second, third = (num_blocks,) * 3 if isinstance(num_blocks, int) else num_blocks
        strides = (reductions[0], reductions[1] // reductions[0], reductions[2] // reductions[1])
        self.conv1 = nn.Conv2d(in_chans, stem, 3, padding=1, bias=False, **dd)
        self.bn1 = nn.BatchNorm2d(stem, **dd)
        self.act1 = nn.ReLU()
        self.layer1 = self.make_stage(stem, widths[0], first, strides[0], **dd)
        self.layer2 = self.make_stage(widths[0], widths[1], second, strides[1], **dd)
        self.layer3 = self.make_stage(widths[1], widths[2], third, strides[2], **dd)
        self.feature_info = [
            {"num_chs": width, "reduction": reduction, "module": f"layer{i + 1}"}
            for i, (width, reduction) in enumerate(zip(widths, reductions, strict=True))
        ]

        self.num_features = widths[-1]
        self.reset_classifier(num_classes, global_pool)
        self.init_weights()

    @torch.jit.ignore
    def make_stage(self, in_chs: int, out_chs: int, num_blocks: int, stride: int, **dd: Any) -> nn.Sequential:
        """Make a stage; its first block subsamples the image by `stride`."""
        first = BasicBlock(in_chs, out_chs, stride, **dd)
        return nn.Sequential(first, *(BasicBlock(out_chs, out_chs, **dd) for _ in range(num_blocks - 1)))

    @torch.jit.ignore
    def init_weights(self) -> None:
        """Initialise every parameter and buffer, see `init_module`."""
        self.apply(self.init_module)

    @staticmethod
    def init_module(module: nn.Module) -> None:
        """Initialise a layer as Cao et al. (2019) do."""
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear | OwnClassifier):
            cast(Any, module).reset_parameters()  # BatchNorm to 1 and 0, linear bias to torch's default
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)  # fan_in, torch's default mode; timm's ResNet uses fan_out

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return the patterns by which timm groups parameters, for layer-wise learning rates.

        Args:
            coarse: One group per stage instead of one per block.

        Returns:
            Group name -> regular expression.
        """
        return {"stem": r"^conv1|^bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward pass instead of keeping its activations."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self, name_only: bool = False) -> str | nn.Module:
        """Return the classifier, or the name of its attribute."""
        return "fc" if name_only else self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one of the same kind.

        Args:
            num_classes: Number of classes; 0 for no classifier.
            global_pool: Type of global pooling; None keeps the current one.
        """
        if global_pool is not None:
            self.global_pool = SelectAdaptivePool2d(pool_type=global_pool, flatten=bool(global_pool))
        self.num_classes = num_classes
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        if num_classes > 0:
            weight = self.conv1.weight  # has the model's device and dtype
            self.fc = self.make_classifier(self.head_hidden_size, num_classes, device=weight.device, dtype=weight.dtype)
            self.fc.apply(self.init_module)
        else:
            self.fc = nn.Identity()
        self.global_pool.train(self.training)
        self.fc.train(self.training)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Run the stages and return their outputs.

        Args:
            x: Images (B, C, H, W).
            indices: The stages whose outputs are returned: the last n if an int, all if None, else those listed
                (negative counts from the end).
            norm: Ignored, for compatibility with timm; there is no final norm.
            stop_early: Skip the stages after the last one returned.
            output_fmt: Only 'NCHW'.
            intermediates_only: Return only the intermediates.

        Returns:
            The output of the last stage and the list of intermediates, or only the intermediates. Stage i returns
            (B, channels[i + 1], H / reductions[i], W / reductions[i]), odd sizes rounded up.
        """
        assert output_fmt == "NCHW", "Output shape must be NCHW."
        take_indices, max_index = feature_take_indices(len(self.feature_info), indices)
        stages = [self.layer1, self.layer2, self.layer3]
        if stop_early:
            stages = stages[: max_index + 1]

        intermediates = []
        x = self.act1(self.bn1(self.conv1(x)))
        for i, stage in enumerate(stages):
            x = checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            if i in take_indices:
                intermediates.append(x)
        return intermediates if intermediates_only else (x, intermediates)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the layers that the chosen intermediates do not need.

        Args:
            indices: The stages to keep, as in `forward_intermediates`.
            prune_norm: Ignored, for compatibility with timm; there is no final norm.
            prune_head: Remove pooling and classifier, even if the last stage stays.

        Returns:
            The indices kept, counted from the beginning.
        """
        take_indices, max_index = feature_take_indices(len(self.feature_info), indices)
        pruned = self.feature_info[max_index + 1 :]
        for info in pruned:
            setattr(self, info["module"], nn.Sequential())  # not Identity, since checkpointing iterates over it
        self.num_features = self.feature_info[max_index]["num_chs"]
        if prune_head or pruned:  # the head does not fit narrower features
            self.reset_classifier(0, "")
        return take_indices

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to features (B, num_features, H / r, W / r), r the last stage's reduction."""
        x = self.act1(self.bn1(self.conv1(x)))
        if self.grad_checkpointing and not torch.jit.is_scripting():
            return checkpoint_seq([self.layer1, self.layer2, self.layer3], x, flatten=True)
        x = self.layer1(x)
        x = self.layer2(x)
        return self.layer3(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify.

        Args:
            x: Features (B, num_features, H, W).
            pre_logits: Stop before the classifier.

        Returns:
            Logits (B, num_classes), or the pooled features (B, head_hidden_size).
        """
        x = self.global_pool(x)
        if self.drop_rate:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, num_classes)."""
        x = self.forward_features(x)
        return self.forward_head(x)


default_cfgs = generate_default_cfgs(
    {
        "resnet20_cifar": cifar_cfg(pool_size=(8, 8)),
        "resnet32_cifar": cifar_cfg(pool_size=(8, 8)),
        "resnet32_wide_cifar": cifar_cfg(pool_size=(8, 8)),
        "resnet44_cifar": cifar_cfg(pool_size=(8, 8)),
        "resnet56_cifar": cifar_cfg(pool_size=(8, 8)),
    }
)


@register_model
def resnet20_cifar(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-20 for CIFAR (He et al., 2016): 3 blocks per stage, 0.27 M parameters."""
    return build_cifar_resnet(CifarResNet, "resnet20_cifar", pretrained, num_blocks=3, **kwargs)


@register_model
def resnet32_cifar(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-32 for CIFAR (He et al., 2016): 5 blocks per stage, 0.46 M parameters."""
    return build_cifar_resnet(CifarResNet, "resnet32_cifar", pretrained, num_blocks=5, **kwargs)


@register_model
def resnet32_wide_cifar(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-32 for CIFAR, four times as wide: stages of 64, 128 and 256 channels, 7.4 M parameters.

    The network that Du et al. (CVPR 2023, GLMC) call ResNet-32.
    """
    model_args = {"num_blocks": 5, "channels": (64, 64, 128, 256), **kwargs}
    return build_cifar_resnet(CifarResNet, "resnet32_wide_cifar", pretrained, **model_args)


@register_model
def resnet44_cifar(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-44 for CIFAR (He et al., 2016): 7 blocks per stage, 0.66 M parameters."""
    return build_cifar_resnet(CifarResNet, "resnet44_cifar", pretrained, num_blocks=7, **kwargs)


@register_model
def resnet56_cifar(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """ResNet-56 for CIFAR (He et al., 2016): 9 blocks per stage, 0.85 M parameters."""
    return build_cifar_resnet(CifarResNet, "resnet56_cifar", pretrained, num_blocks=9, **kwargs)
