"""Protocols: the settings that the recipes of a paper share, one file per protocol."""

from ltzoo.recipes.protocols.digits import DIGITS
from ltzoo.recipes.protocols.fast_cifar import FAST_CIFAR, FAST_CIFAR_CUTMIX
from ltzoo.recipes.protocols.fine_tuning import FINE_TUNING
from ltzoo.recipes.protocols.lyu2025_cifar import LYU2025_CIFAR
from ltzoo.recipes.protocols.protocol import Ours, Protocol, data_set_and_profile
from ltzoo.recipes.protocols.rangwani2022_cifar import RANGWANI2022_CIFAR
from ltzoo.recipes.protocols.rangwani2022_large import RANGWANI2022_LARGE
from ltzoo.recipes.protocols.second_stage import SecondStage, two_stage_methods
from ltzoo.recipes.protocols.zhong2021 import ZHONG2021_CIFAR, ZHONG2021_IMAGENETLT, ZHONG2021_INAT18

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        RANGWANI2022_CIFAR,
        LYU2025_CIFAR,
        RANGWANI2022_LARGE,
        ZHONG2021_CIFAR,
        ZHONG2021_IMAGENETLT,
        ZHONG2021_INAT18,
        FAST_CIFAR,
        FAST_CIFAR_CUTMIX,
        DIGITS,
        FINE_TUNING,
    )
}

__all__ = [
    "DIGITS",
    "FAST_CIFAR",
    "FAST_CIFAR_CUTMIX",
    "FINE_TUNING",
    "LYU2025_CIFAR",
    "PROTOCOLS",
    "RANGWANI2022_CIFAR",
    "RANGWANI2022_LARGE",
    "ZHONG2021_CIFAR",
    "ZHONG2021_IMAGENETLT",
    "ZHONG2021_INAT18",
    "Ours",
    "Protocol",
    "SecondStage",
    "data_set_and_profile",
    "two_stage_methods",
]
