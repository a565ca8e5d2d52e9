"""ResNets with several experts, as RIDE and SADE train them; the papers are in `ltzoo.models.experts`.

Stem and early stages are shared. Each expert has the last two stages and a cosine classifier for itself, narrower than
in the plain network. The prediction is the mean of the experts' logits.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet

from ltzoo.models.cifar_builder import build_cifar_resnet, cifar_cfg
from ltzoo.models.cifar_resnet import CifarResNet
from ltzoo.models.experts import CosineExpertsClassifier, ExpertStage, WithExperts, check_experts
from ltzoo.models.own_head_resnet import RESNET50_CFG

__all__ = ["ExpertsCifarResNet", "ExpertsResNet"]  # register_model adds each entry point

_PAPER = {
    "paper_name": "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts",
    "paper_ids": "arXiv:2010.01809",
}


class ExpertsCifarResNet(WithExperts, CifarResNet):
    """A ResNet for CIFAR whose experts share stem and first stage; each has the second and third for itself.

    Features are those of all experts side by side: (B, num_experts * channels[-1], H, W).

    Args:
        num_blocks: Residual blocks per stage, one number or one for each of the three stages.
        num_classes: Number of classes; 0 for no classifier.
        num_experts: Number of experts.
        channels: Channels of the stem, the first stage, and the second and third stage of each expert.
        global_pool: timm's type of global pooling.
        classifier: 'cosine_experts' (`CosineExpertsClassifier`), the only one there is.
        **kwargs: Further arguments of `CifarResNet`.

    Raises:
        ValueError: `classifier` is unknown, or there is no expert.
    """

    def __init__(
        self,
        num_blocks: int | tuple[int, int, int],
        num_classes: int = 10,
        num_experts: int = 3,
        channels: tuple[int, int, int, int] = (16, 16, 24, 48),
        global_pool: str = "avg",
        classifier: str = CosineExpertsClassifier.word,
        **kwargs: Any,
    ) -> None:
        check_experts(classifier, num_experts)
        super().__init__(num_blocks, num_classes=0, channels=channels, global_pool=global_pool, **kwargs)
        others = [CifarResNet(num_blocks, num_classes=0, channels=channels, **kwargs) for _ in range(num_experts - 1)]
        _split(self, others, ("layer2", "layer3"))
        self.reset_classifier(num_classes, global_pool)


class ExpertsResNet(WithExperts, ResNet):
    """timm's ResNet whose experts share stem and first two stages; each has the third and fourth for itself.

    Features are those of all experts side by side: (B, num_experts * channels[-1] * expansion, H, W).

    Args:
        num_experts: Number of experts.
        channels: Base width of each stage, the third and fourth of each expert.
        num_classes: Number of classes; 0 for no classifier.
        global_pool: timm's type of global pooling.
        classifier: 'cosine_experts' (`CosineExpertsClassifier`), the only one there is.
        **kwargs: Any other argument of timm's ResNet; `block` and `layers` are required.

    Raises:
        ValueError: `classifier` is unknown, or there is no expert.
    """

    def __init__(
        self,
        *,
        num_experts: int = 3,
        channels: tuple[int, int, int, int] = (64, 128, 192, 384),
        num_classes: int = 1000,
        global_pool: str = "avg",
        classifier: str = CosineExpertsClassifier.word,
        **kwargs: Any,
    ) -> None:
        check_experts(classifier, num_experts)
        kwargs = {"channels": channels, "num_classes": 0, **kwargs}
        super().__init__(global_pool=global_pool, **kwargs)
        _split(self, [ResNet(**kwargs) for _ in range(num_experts - 1)], ("layer3", "layer4"))
        self.reset_classifier(num_classes, global_pool)


def _split(model: Any, others: list[Any], stages: tuple[str, str]) -> None:
    """Give a network the last stages of others beside its own, and count the features of all.

    Args:
        model: The network; its own stages are the first expert's.
        others: Networks of the same shape, one for each further expert.
        stages: The stages that each expert has for itself, the first of which has a shared input.
    """
    for name in stages:
        every = [getattr(network, name) for network in (model, *others)]
        setattr(model, name, ExpertStage(every, shared_input=name == stages[0]))
    for info in model.feature_info:
        if info["module"] in stages:
            info["num_chs"] *= 1 + len(others)
    model.num_features *= 1 + len(others)


default_cfgs = generate_default_cfgs(
    {
        "resnet20_3experts_cifar": cifar_cfg(pool_size=(8, 8), **_PAPER),
        "resnet32_3experts_cifar": cifar_cfg(pool_size=(8, 8), **_PAPER),
        "resnet50_3experts": RESNET50_CFG | _PAPER,
    }
)


@register_model
def resnet20_3experts_cifar(pretrained: bool = False, **kwargs: Any) -> ExpertsCifarResNet:
    """ResNet-20 for CIFAR with three experts: 3 blocks per stage, 0.45 M parameters.

    The network of Wang et al. (2021) with fewer blocks, for small images: stem and first stage have 16 channels and are
    shared; each expert has a second stage of 24 and a third of 48.
    """
    return build_cifar_resnet(ExpertsCifarResNet, "resnet20_3experts_cifar", pretrained, num_blocks=3, **kwargs)


@register_model
def resnet32_3experts_cifar(pretrained: bool = False, **kwargs: Any) -> ExpertsCifarResNet:
    """ResNet-32 for CIFAR with three experts (Wang et al., 2021): 5 blocks per stage, 0.78 M parameters.

    Stem and first stage have 16 channels and are shared; each expert has a second stage of 24 and a third of 48.
    """
    return build_cifar_resnet(ExpertsCifarResNet, "resnet32_3experts_cifar", pretrained, num_blocks=5, **kwargs)


@register_model
def resnet50_3experts(pretrained: bool = False, **kwargs: Any) -> ExpertsResNet:
    """ResNet-50 with three experts (Wang et al., 2021): stages of 64 and 128 base width shared, 192 and 384 each.

    39.1 M parameters, and 4608 more for each class.
    """
    model_args = {"block": Bottleneck, "layers": (3, 4, 6, 3), **kwargs}
    return build_model_with_cfg(ExpertsResNet, "resnet50_3experts", pretrained, **model_args)
