"""Protocols: the settings that recipes share; a file has protocols of one paper, or of ours."""

from ltzoo.recipes.protocols.adapt import ADAPT_CIFAR, ADAPT_FOLDER, ADAPT_INAT18, ADAPT_LARGE
from ltzoo.recipes.protocols.cui2021 import CUI2021_CIFAR, CUI2021_IMAGENETLT, CUI2021_INAT18
from ltzoo.recipes.protocols.digits import DIGITS
from ltzoo.recipes.protocols.du2023 import (
    DU2023_CIFAR,
    DU2023_CIFAR_IF10,
    DU2023_CIFAR_IF50,
    DU2023_IMAGENETLT,
    DU2023_INAT18,
)
from ltzoo.recipes.protocols.du2024 import DU2024_CIFAR, DU2024_IMAGENETLT, DU2024_INAT18
from ltzoo.recipes.protocols.fast_cifar import FAST_CIFAR, FAST_CIFAR_CUTMIX, FAST_CIFAR_LONG
from ltzoo.recipes.protocols.fine_tuning import FINE_TUNING
from ltzoo.recipes.protocols.li2025 import LI2025_CIFAR
from ltzoo.recipes.protocols.lyu2025_cifar import LYU2025_CIFAR
from ltzoo.recipes.protocols.park2021 import PARK2021_CIFAR
from ltzoo.recipes.protocols.protocol import Protocol, data_set_and_profile
from ltzoo.recipes.protocols.rangwani2022_cifar import RANGWANI2022_CIFAR
from ltzoo.recipes.protocols.rangwani2022_large import RANGWANI2022_LARGE
from ltzoo.recipes.protocols.tuning_cifar import FROZEN_CIFAR, FULL_CIFAR, NORM_CIFAR
from ltzoo.recipes.protocols.wang2021 import WANG2021_CIFAR, WANG2021_IMAGENETLT, WANG2021_INAT18
from ltzoo.recipes.protocols.zhang2022 import ZHANG2022_CIFAR, ZHANG2022_IMAGENETLT, ZHANG2022_INAT18
from ltzoo.recipes.protocols.zhong2021 import ZHONG2021_CIFAR, ZHONG2021_IMAGENETLT, ZHONG2021_INAT18
from ltzoo.recipes.protocols.zhu2022 import ZHU2022_CIFAR, ZHU2022_IMAGENETLT, ZHU2022_INAT18

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        RANGWANI2022_CIFAR,
        LYU2025_CIFAR,
        RANGWANI2022_LARGE,
        ZHONG2021_CIFAR,
        ZHONG2021_IMAGENETLT,
        ZHONG2021_INAT18,
        PARK2021_CIFAR,
        WANG2021_CIFAR,
        WANG2021_IMAGENETLT,
        WANG2021_INAT18,
        ZHANG2022_CIFAR,
        ZHANG2022_IMAGENETLT,
        ZHANG2022_INAT18,
        CUI2021_CIFAR,
        CUI2021_IMAGENETLT,
        CUI2021_INAT18,
        ZHU2022_CIFAR,
        ZHU2022_IMAGENETLT,
        ZHU2022_INAT18,
        DU2024_CIFAR,
        DU2024_IMAGENETLT,
        DU2024_INAT18,
        DU2023_CIFAR,
        DU2023_CIFAR_IF50,
        DU2023_CIFAR_IF10,
        DU2023_IMAGENETLT,
        DU2023_INAT18,
        LI2025_CIFAR,
        FAST_CIFAR,
        FAST_CIFAR_CUTMIX,
        FAST_CIFAR_LONG,
        DIGITS,
        FINE_TUNING,
        ADAPT_FOLDER,
        ADAPT_CIFAR,
        ADAPT_LARGE,
        ADAPT_INAT18,
        FROZEN_CIFAR,
        NORM_CIFAR,
        FULL_CIFAR,
    )
}

__all__ = [
    "ADAPT_CIFAR",
    "ADAPT_FOLDER",
    "ADAPT_INAT18",
    "ADAPT_LARGE",
    "CUI2021_CIFAR",
    "CUI2021_IMAGENETLT",
    "CUI2021_INAT18",
    "DIGITS",
    "DU2023_CIFAR",
    "DU2023_CIFAR_IF10",
    "DU2023_CIFAR_IF50",
    "DU2023_IMAGENETLT",
    "DU2023_INAT18",
    "DU2024_CIFAR",
    "DU2024_IMAGENETLT",
    "DU2024_INAT18",
    "FAST_CIFAR",
    "FAST_CIFAR_CUTMIX",
    "FAST_CIFAR_LONG",
    "FINE_TUNING",
    "FROZEN_CIFAR",
    "FULL_CIFAR",
    "LI2025_CIFAR",
    "LYU2025_CIFAR",
    "NORM_CIFAR",
    "PARK2021_CIFAR",
    "PROTOCOLS",
    "RANGWANI2022_CIFAR",
    "RANGWANI2022_LARGE",
    "WANG2021_CIFAR",
    "WANG2021_IMAGENETLT",
    "WANG2021_INAT18",
    "ZHANG2022_CIFAR",
    "ZHANG2022_IMAGENETLT",
    "ZHANG2022_INAT18",
    "ZHONG2021_CIFAR",
    "ZHONG2021_IMAGENETLT",
    "ZHONG2021_INAT18",
    "ZHU2022_CIFAR",
    "ZHU2022_IMAGENETLT",
    "ZHU2022_INAT18",
    "Protocol",
    "data_set_and_profile",
]
