"""Rangwani 2022 on ImageNet-LT and iNaturalist 2018: ResNet-50, 90 epochs with a cosine, SAM whose radius grows.

The rows of Lyu 2025 on ImageNet-LT (its Table 2: CE with SAM, ImbSAM and SSE-SAM) follow this protocol too. That paper
gives radii and gamma, but not the network, epochs, learning rate, batch size or augmentation, which are those of
Rangwani 2022 here, as is the way accuracy is measured. So its figures may come from other settings: CE alone is a row
of both papers, and the two differ by 2.4 points.
"""

from dataclasses import replace

from ltzoo.data import WHOLE
from ltzoo.losses import CE, DRW, LDAM
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineHead
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.second_stage import FIELDS, cosine, two_stage_methods
from ltzoo.recipes.protocols.views import CROPPED, IMAGENET_INPUT
from ltzoo.recipes.recipe import PaperRule
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation, Steps

_TWO_STAGE = {
    method: stage if method == "bsrt" else replace(stage, groups="count")
    for method, stage in two_stage_methods().items()
}
"""Kang 2020 and Zhang 2021 group by count."""

_SECOND_STAGES = _TWO_STAGE | {
    # Kang 2020 selects the epoch on ImageNet-LT's validation list, and on iNaturalist 2018, where cRT has 30 epochs, on
    # the test images. Zhang 2021 reports the last epoch.
    **{method: replace(_TWO_STAGE[method], paper_rule=False) for method in ("crt", "lws", "disalign")},
    "inat18_crt": replace(_TWO_STAGE["crt"], schedule=cosine(30)),
    "inat18_lws": _TWO_STAGE["lws"],
}

_LOSSES = {"ce": CE(), "ldam": LDAM(max_margin=0.3, scale=30.0)}


def _optimizer(lr: float, weight_decay: float) -> Optimizer:
    return Optimizer(lr=lr, momentum=0.9, weight_decay=weight_decay, nesterov=False)


def _sgd_and_sam(*radii: float, milestones: tuple[int, ...]) -> dict[str, Perturbation]:
    return {"sgd": NoPerturbation(), "sam": SAM(rho=Steps(radii, milestones))}


_GROWING = _sgd_and_sam(0.05, 0.1, 0.5, milestones=(5, 60))

_LYU2025: dict[str, Perturbation] = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.05),
    # As in Lyu 2025 on CIFAR: its code divides each group's loss by the group's own images.
    "imbsam": ImbSAM(rho=0.15, eta=100, normalization="group"),
    "ssesam": SSESAM(rho_head=0.05, rho_tail=0.15, gamma=0.8, eta=100),
}
"""Lyu 2025 gives eta for CIFAR-100 only; the same 100 is taken here."""

RANGWANI2022_LARGE = Protocol(
    name="rangwani2022_large",
    paper="rangwani2022",
    cites=("rangwani2022",),
    subset=WHOLE,
    groups={"natural": "mislas"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=_optimizer(0.2, 2e-4),
    optimizers={"inat18": _optimizer(0.1, 2e-4), "inat18_ldam": _optimizer(0.1, 1e-4)},
    schedule=Schedule(epochs=90, warmup_epochs=0, milestones=(), factors=(), decay="cosine"),
    batch_size=256,
    # What the paper leaves out is torchvision's default, as in the code that Rangwani 2022 builds on.
    augmentation=replace(CROPPED, color_jitter=0.4),
    input=IMAGENET_INPUT,
    rules={"drw": DRW(start=60, beta=0.9999)},
    losses=dict.fromkeys(("imagenetlt", "inat18"), _LOSSES),
    heads={"ldam": CosineHead()},
    perturbations={
        "imagenetlt": {"ce": _LYU2025, "ce_drw": _GROWING, "ldam_drw": _GROWING},
        "inat18": {
            "ce": {"sgd": NoPerturbation()},
            "ce_drw": _sgd_and_sam(0.05, 0.1, 0.1, 0.2, milestones=(5, 60, 75)),
            "ldam_drw": _GROWING,
        },
    },
    second_stages=_SECOND_STAGES,
    ours=(
        # Kang 2020 has batches of 512 and another weight decay, and no colour jitter on iNaturalist 2018; Zhang 2021
        # has another learning rate and weight decay. DisAlign's exponent is public for another network only,
        # tau-norm's tau for none.
        Ours(("optimizer", "batch_size"), losses=("crt", "lws")),
        Ours(("views",), benchmarks=("inat18",), losses=("crt", "lws")),
        Ours(("optimizer", "reweighting.rho"), losses=("disalign",)),
        Ours(("head.tau",), losses=("taunorm",)),
        Ours(FIELDS, losses=("bsrt",)),
        Ours(("perturbation.eta",), perturbations=("imbsam", "ssesam")),
        Ours(("perturbation.normalization",), perturbations=("imbsam",)),
        # In the papers' code every forward pass updates BatchNorm's running statistics.
        Ours(("trainable.batchnorm",), perturbations=("sam", "imbsam", "ssesam")),
    ),
)
