"""Architectures, registered with timm on import, and classifier heads; imports only torch and timm."""

from ltzoo.models.cifar_resnet import (
    CifarResNet,
    resnet20_cifar,
    resnet32_cifar,
    resnet32_wide_cifar,
    resnet44_cifar,
    resnet56_cifar,
)
from ltzoo.models.experts import CosineExpertsClassifier, ExpertStage
from ltzoo.models.experts_resnet import (
    ExpertsCifarResNet,
    ExpertsResNet,
    resnet20_3experts_cifar,
    resnet32_3experts_cifar,
    resnet50_3experts,
)
from ltzoo.models.heads import CosineClassifier, DisAlignClassifier, NearestMeanClassifier
from ltzoo.models.own_head_resnet import OwnHeadResNet, resnet50_cosine, resnet50_disalign, resnet50_nearest_mean
from ltzoo.models.resnet9 import ResNet9, resnet9_cifar, resnet9_wide_cifar
from ltzoo.models.small_stem_resnet import SmallStemResNet, resnet34_cifar

__all__ = [
    "CifarResNet",
    "CosineClassifier",
    "CosineExpertsClassifier",
    "DisAlignClassifier",
    "ExpertStage",
    "ExpertsCifarResNet",
    "ExpertsResNet",
    "NearestMeanClassifier",
    "OwnHeadResNet",
    "ResNet9",
    "SmallStemResNet",
    "resnet9_cifar",
    "resnet9_wide_cifar",
    "resnet20_3experts_cifar",
    "resnet20_cifar",
    "resnet32_3experts_cifar",
    "resnet32_cifar",
    "resnet32_wide_cifar",
    "resnet34_cifar",
    "resnet44_cifar",
    "resnet50_3experts",
    "resnet50_cosine",
    "resnet50_disalign",
    "resnet50_nearest_mean",
    "resnet56_cifar",
]
