"""The shipped recipes: every cell of the papers' tables, and further combinations of their parts."""

from collections.abc import Iterator
from itertools import product

from ltzoo.recipes.compose import compose, compose_second_stage
from ltzoo.recipes.protocols import (
    ADAPT_CIFAR,
    ADAPT_FOLDER,
    ADAPT_INAT18,
    ADAPT_LARGE,
    CUI2021_CIFAR,
    CUI2021_IMAGENETLT,
    CUI2021_INAT18,
    DIGITS,
    DU2023_CIFAR,
    DU2023_CIFAR_IF10,
    DU2023_CIFAR_IF50,
    DU2023_IMAGENETLT,
    DU2023_INAT18,
    DU2024_CIFAR,
    DU2024_IMAGENETLT,
    DU2024_INAT18,
    FAST_CIFAR,
    FAST_CIFAR_CUTMIX,
    FAST_CIFAR_LONG,
    FINE_TUNING,
    FROZEN_CIFAR,
    FULL_CIFAR,
    LI2025_CIFAR,
    LYU2025_CIFAR,
    NORM_CIFAR,
    PARK2021_CIFAR,
    RANGWANI2022_CIFAR,
    RANGWANI2022_LARGE,
    WANG2021_CIFAR,
    WANG2021_IMAGENETLT,
    WANG2021_INAT18,
    ZHANG2022_CIFAR,
    ZHANG2022_IMAGENETLT,
    ZHANG2022_INAT18,
    ZHONG2021_CIFAR,
    ZHONG2021_IMAGENETLT,
    ZHONG2021_INAT18,
    ZHU2022_CIFAR,
    ZHU2022_IMAGENETLT,
    ZHU2022_INAT18,
)
from ltzoo.recipes.recipe import Recipe

_FACTORS = ("", "10", "50", "200")
"""Imbalance factors in the names of the long-tailed CIFAR benchmarks; no number means 100."""

_LONG_TAILED = tuple(f"{data_set}lt{factor}" for factor in _FACTORS for data_set in ("cifar10", "cifar100"))
_RANGWANI_PERTURBATIONS = ("sgd", "sam", "imbsam", "ssesam")
_RANGWANI_LOSSES = (("ce", "none"), ("ce", "drw"), ("ldam", "none"), ("ldam", "drw"), ("la", "none"), ("vs", "none"))
_STEP_LOSSES = (("ce", "none"), ("ce", "drw"), ("ldam", "drw"), ("vs", "none"))
_MORE_LOSSES = (("focal", "none"), ("bs", "none"), ("ce", "cb"))
_LYU_PERTURBATIONS = ("sgd", "sam", "imbsam", "samext", "ssesam")
_FAST_LOSSES = (("ce", "none"), ("ce", "drw"), ("ldam", "drw"), ("la", "none"), ("vs", "none"))
_DIGITS_LOSSES = (("ce", "none"), ("ce", "drw"), ("ldam", "none"), ("la", "none"), ("vs", "none"))
_DIGITS_VARIANTS = ("ccsam", "gnm", "asam", "gsam")
_MISLAS_PERTURBATIONS = ("sgd", "sam", "ssesam")
_ONE_STAGE = {
    "ib": PARK2021_CIFAR,
    "ride": WANG2021_CIFAR,
    "sade": ZHANG2022_CIFAR,
    "paco": CUI2021_CIFAR,
    "bcl": ZHU2022_CIFAR,
    "proco": DU2024_CIFAR,
}
"""Methods with a loss of their own, and the protocol of each on CIFAR."""
_ONE_STAGE_PERTURBATIONS = ("sgd", "sam", "ssesam")
_ONE_STAGE_LARGE = {
    "ride": (WANG2021_IMAGENETLT, WANG2021_INAT18),
    "sade": (ZHANG2022_IMAGENETLT, ZHANG2022_INAT18),
    "paco": (CUI2021_IMAGENETLT, CUI2021_INAT18),
    "bcl": (ZHU2022_IMAGENETLT, ZHU2022_INAT18),
    "proco": (DU2024_IMAGENETLT, DU2024_INAT18),
}
_TWO_STAGE = ("crt", "lws", "taunorm", "ncm", "disalign", "bsrt")
_LARGE = (("ce", "none", "sgd"), *product(("ce", "ldam"), ("drw",), ("sgd", "sam")))
_ADAPT_LOSSES = ("adapt_ce", "adapt_la", "adapt_bs", "adapt_vs")
_ADAPT = (ADAPT_FOLDER, ADAPT_CIFAR, ADAPT_LARGE, ADAPT_INAT18)
_TUNING = (FROZEN_CIFAR, NORM_CIFAR, FULL_CIFAR)
_FINE_TUNING_LOSSES = (("ce", "none"), ("la", "none"), ("bs", "none"), ("ldam", "drw"), ("vs", "none"))


def shipped_recipes() -> Iterator[Recipe]:
    """Compose every recipe that comes with the package."""
    cifars = ("cifar10", "cifar100")
    for benchmark, (loss, rule), perturbation in product(_LONG_TAILED, _RANGWANI_LOSSES, _RANGWANI_PERTURBATIONS):
        yield compose("resnet32", benchmark, loss, rule, perturbation, RANGWANI2022_CIFAR)
    for data_set, (loss, rule), perturbation in product(cifars, _STEP_LOSSES, _RANGWANI_PERTURBATIONS):
        yield compose("resnet32", f"{data_set}step", loss, rule, perturbation, RANGWANI2022_CIFAR)
    for (loss, protocol), perturbation in product(_ONE_STAGE.items(), _ONE_STAGE_PERTURBATIONS):
        for benchmark in protocol.perturbations:
            yield compose("resnet32", benchmark, loss, "none", perturbation, protocol)
        yield compose("resnet20", "digitslt", loss, "none", perturbation, DIGITS)
    for perturbation in _ONE_STAGE_PERTURBATIONS:
        for protocol in (DU2023_CIFAR, DU2023_CIFAR_IF50, DU2023_CIFAR_IF10):
            for benchmark in protocol.perturbations:
                yield compose("resnet32wide", benchmark, "glmc", "none", perturbation, protocol)
        yield compose("resnet20", "digitslt", "glmc", "none", perturbation, DIGITS)
    for loss, protocols in _ONE_STAGE_LARGE.items():
        for protocol in protocols:
            (benchmark,) = protocol.perturbations
            yield compose("resnet50", benchmark, loss, "none", "sgd", protocol)
    for protocol in (DU2023_IMAGENETLT, DU2023_INAT18):
        (benchmark,) = protocol.perturbations
        yield compose("resnext50", benchmark, "glmc", "none", "sgd", protocol)
    for data_set, perturbation in product(cifars, ("pgd", "lpfsgd")):  # Rangwani 2022, Table 4
        yield compose("resnet32", f"{data_set}lt", "ce", "drw", perturbation, RANGWANI2022_CIFAR)
    for perturbation in ("sam05", "sam10", "sam20", "sam80"):  # Rangwani 2022, Figure 4; 0.5 is the protocol's own
        yield compose("resnet32", "cifar10lt", "ce", "drw", perturbation, RANGWANI2022_CIFAR)
    for data_set, (loss, rule), perturbation in product(cifars, _MORE_LOSSES, _RANGWANI_PERTURBATIONS):
        yield compose("resnet32", f"{data_set}lt", loss, rule, perturbation, RANGWANI2022_CIFAR)
    for data_set, perturbation in product(cifars, _MISLAS_PERTURBATIONS):  # Zhong 2021, both stages
        yield compose("resnet32", f"{data_set}lt", "ce_mixup", "none", perturbation, ZHONG2021_CIFAR)
        yield compose_second_stage("resnet32", f"{data_set}lt", "mislas", perturbation, ZHONG2021_CIFAR)
    for data_set, method, perturbation in product(cifars, _TWO_STAGE, _RANGWANI_PERTURBATIONS):
        yield compose_second_stage("resnet32", f"{data_set}lt", method, perturbation, RANGWANI2022_CIFAR)
    for data_set in cifars:
        yield compose("resnet32", f"{data_set}lt", "la", "none", "focalsam", LI2025_CIFAR)
    for method in ("drolt_backbone", "drolt"):
        for data_set in cifars:
            yield compose_second_stage("resnet32", f"{data_set}lt", method, "sgd", RANGWANI2022_CIFAR)
    for benchmark, loss, perturbation in product(_LONG_TAILED, ("ce", "ldam", "la", "vs"), _LYU_PERTURBATIONS):
        yield compose("resnet34", benchmark, loss, "none", perturbation, LYU2025_CIFAR)
    for benchmark, perturbation in product(("cifar100lt", "cifar100lt50"), ("imbsam05", "ssesam0505")):
        yield compose("resnet34", benchmark, "ce", "none", perturbation, LYU2025_CIFAR)  # Lyu 2025, Table 3
    for data_set, (loss, rule), perturbation in product(cifars, _FAST_LOSSES, _RANGWANI_PERTURBATIONS):
        yield compose("resnet9", f"{data_set}lt", loss, rule, perturbation, FAST_CIFAR)
    for data_set, method, perturbation in product(cifars, _TWO_STAGE, _RANGWANI_PERTURBATIONS):
        yield compose_second_stage("resnet9", f"{data_set}lt", method, perturbation, FAST_CIFAR)
    for data_set, perturbation in product(cifars, _MISLAS_PERTURBATIONS):
        yield compose("resnet9", f"{data_set}lt", "ce_mixup", "none", perturbation, FAST_CIFAR)
        yield compose_second_stage("resnet9", f"{data_set}lt", "mislas", perturbation, FAST_CIFAR)
    for network, data_set in product(("resnet9", "resnet9wide"), cifars):
        yield compose(network, f"{data_set}lt", "la_cutmix", "none", "sgd", FAST_CIFAR_CUTMIX)
    for data_set, loss in product(cifars, ("ce_long", "la_long", "vs_long")):
        yield compose("resnet9", f"{data_set}lt", loss, "none", "sgd", FAST_CIFAR_LONG)
    for (loss, rule), perturbation in product(_DIGITS_LOSSES, (*_RANGWANI_PERTURBATIONS, "focalsam")):
        yield compose("resnet20", "digitslt", loss, rule, perturbation, DIGITS)
    for loss, perturbation in product(("ce", "la"), _DIGITS_VARIANTS):
        yield compose("resnet20", "digitslt", loss, "none", perturbation, DIGITS)
    for method, perturbation in product(_TWO_STAGE, _RANGWANI_PERTURBATIONS):
        yield compose_second_stage("resnet20", "digitslt", method, perturbation, DIGITS)
    for method in ("drolt_backbone", "drolt"):
        yield compose_second_stage("resnet20", "digitslt", method, "sgd", DIGITS)
    for perturbation in _MISLAS_PERTURBATIONS:
        yield compose("resnet20", "digitslt", "ce_mixup", "none", perturbation, DIGITS)
        yield compose_second_stage("resnet20", "digitslt", "mislas", perturbation, DIGITS)
    # Accuracy over the radius; 0.05 is the protocol's own.
    for rule, perturbation in product(("none", "drw"), ("sam01", "sam10", "sam20", "sam40")):
        yield compose("resnet20", "digitslt", "ce", rule, perturbation, DIGITS)
    for benchmark, (loss, rule, perturbation) in product(("imagenetlt", "inat18"), _LARGE):  # Rangwani 2022, Table 3
        yield compose("resnet50", benchmark, loss, rule, perturbation, RANGWANI2022_LARGE)
    for perturbation in ("sam", "imbsam", "ssesam"):  # Lyu 2025, Table 2
        yield compose("resnet50", "imagenetlt", "ce", "none", perturbation, RANGWANI2022_LARGE)
    for (loss, rule), perturbation in product(_FINE_TUNING_LOSSES, _RANGWANI_PERTURBATIONS):
        yield compose("resnet50", "imagefolder", loss, rule, perturbation, FINE_TUNING)
    for perturbation in _MISLAS_PERTURBATIONS:
        yield compose("resnet50", "imagefolder", "ce_mixup", "none", perturbation, FINE_TUNING)
        yield compose_second_stage("resnet50", "imagefolder", "mislas", perturbation, FINE_TUNING)
    for method, perturbation in product(_TWO_STAGE, _RANGWANI_PERTURBATIONS):
        yield compose_second_stage("resnet50", "imagenetlt", method, perturbation, RANGWANI2022_LARGE)
        yield compose_second_stage("resnet50", "imagefolder", method, perturbation, FINE_TUNING)
    for method in _TWO_STAGE:  # CE on iNaturalist 2018 has SGD alone
        yield compose_second_stage("resnet50", "inat18", method, "sgd", RANGWANI2022_LARGE)
    for protocol, perturbations in ((ZHONG2021_IMAGENETLT, _MISLAS_PERTURBATIONS), (ZHONG2021_INAT18, ("sgd",))):
        for perturbation in perturbations:
            (benchmark,) = protocol.perturbations
            yield compose("resnet50", benchmark, "ce_mixup", "none", perturbation, protocol)
            yield compose_second_stage("resnet50", benchmark, "mislas", perturbation, protocol)
    for protocol in _ADAPT:
        for benchmark, loss, perturbation in product(protocol.perturbations, _ADAPT_LOSSES, ("sgd", "sam", "ssesam")):
            yield compose("vitb16", benchmark, loss, "none", perturbation, protocol)
    for protocol in _TUNING:
        for benchmark, losses in protocol.perturbations.items():
            for loss, perturbation in product(losses, ("sgd", "sam", "ssesam")):
                yield compose("efficientnetlite0", benchmark, loss, "none", perturbation, protocol)
