"""Architectures, registered with timm on import, and classifier heads (imports torch and timm alone)."""

from ltzoo.models.cifar_resnet import CifarResNet, resnet20_cifar, resnet32_cifar, resnet44_cifar, resnet56_cifar
from ltzoo.models.classifier import CosineClassifier

__all__ = [
    "CifarResNet",
    "CosineClassifier",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet44_cifar",
    "resnet56_cifar",
]
