"""Architectures, registered with timm on import, and classifier heads; imports only torch and timm."""

from ltzoo.models.cifar_resnet import CifarResNet, resnet20_cifar, resnet32_cifar, resnet44_cifar, resnet56_cifar
from ltzoo.models.heads import CosineClassifier, DisAlignClassifier, NearestMeanClassifier
from ltzoo.models.own_head_resnet import OwnHeadResNet, resnet50_cosine, resnet50_disalign, resnet50_nearest_mean
from ltzoo.models.resnet9 import ResNet9, resnet9_cifar
from ltzoo.models.small_stem_resnet import SmallStemResNet, resnet34_cifar

__all__ = [
    "CifarResNet",
    "CosineClassifier",
    "DisAlignClassifier",
    "NearestMeanClassifier",
    "OwnHeadResNet",
    "ResNet9",
    "SmallStemResNet",
    "resnet9_cifar",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet34_cifar",
    "resnet44_cifar",
    "resnet50_cosine",
    "resnet50_disalign",
    "resnet50_nearest_mean",
    "resnet56_cifar",
]
