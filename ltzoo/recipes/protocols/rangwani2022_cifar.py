"""Rangwani 2022 on CIFAR: ResNet-32, Cao's subset, 200 epochs with steps, SAM with large radii."""

from ltzoo.data import Augmentation, get_benchmark
from ltzoo.losses import CE, DRW, LA, LDAM, VS, BalancedSoftmax, ClassBalanced, Focal
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineHead
from ltzoo.recipes.protocols.lyu2025_cifar import ETA
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.second_stage import FIELDS, dro_lt, two_stage_methods
from ltzoo.recipes.protocols.views import AUTO_AUGMENTED
from ltzoo.recipes.recipe import PaperRule
from ltzoo.sharpness import LPFSGD, PGD, SAM, SSESAM, Cosine, ImbSAM, NoPerturbation, Perturbation

_RHO = {
    "cifar10": {"ce": 0.1, "ce_drw": 0.5, "ldam_drw": 0.8, "vs": 0.8},
    "cifar100": {"ce": 0.2, "ce_drw": 0.8, "ldam_drw": 0.8, "vs": 0.8},
}
"""SAM's radius as given by the paper; for VS it gives 0.5 or 0.8."""

_RHO_OURS = {"ldam": 0.8, "la": 0.8, "bs": 0.8, "focal": 0.1, "ce_cb": 0.5}
"""SAM's radius for losses that the paper does not combine with SAM: that of the most similar loss."""


def _perturbations(rho: float, eta: float) -> dict[str, Perturbation]:
    return {
        "sgd": NoPerturbation(),
        "sam": SAM(rho=rho),
        # No paper gives radii of these for ResNet-32. ImbSAM starts from the protocol's radius of SAM, SSE-SAM from a
        # quarter of it: with 0.8 or 0.4 for both groups, VS on CIFAR-100-LT hardly learnt in its first epochs.
        "imbsam": ImbSAM(rho=rho, eta=eta),
        "ssesam": SSESAM(rho_head=rho / 4, rho_tail=rho / 4, gamma=0.7, eta=eta),
        "pgd": PGD(rho=rho),
        # The defaults of its authors: 2e-4, fifteen times as much at the end, eight parts.
        "lpfsgd": LPFSGD(std=Cosine(start=2e-4, end=3e-3), parts=8),
    }


_SHARED_LOSSES = {
    "ce": CE(),
    "ldam": LDAM(max_margin=0.5, scale=30.0),
    "la": LA(tau=0.75),
    "bs": BalancedSoftmax(),
    "focal": Focal(gamma=1.0),
}

_TWO_STAGE = two_stage_methods()

RANGWANI2022_CIFAR = Protocol(
    name="rangwani2022_cifar",
    paper="rangwani2022",
    cites=("rangwani2022",),
    subset="cao",
    groups={"exponential": "mislas", "step": "half"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=2e-4, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.01, 0.0001)),
    batch_size=128,
    augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
    rules={"drw": DRW(start=160, beta=0.9999), "cb": ClassBalanced(beta=0.9999)},
    losses={
        # The paper gives no constants for VS: these are what later work used for its rows; tau of LA is Lyu 2025's.
        "cifar10": _SHARED_LOSSES | {"vs": VS(gamma=0.15, tau=1.25)},
        "cifar100": _SHARED_LOSSES | {"vs": VS(gamma=0.05, tau=0.75)},
    },
    heads={"ldam": CosineHead()},
    perturbations={
        benchmark: {
            loss: _perturbations(rho, eta)
            for loss, rho in (_RHO[get_benchmark(benchmark).data_set.name] | _RHO_OURS).items()
        }
        for benchmark, eta in ETA.items()
    },
    ours=(
        Ours(("loss",), losses=("la", "focal")),
        Ours(("loss.gamma", "loss.tau"), losses=("vs",)),
        Ours(("reweighting",), losses=("ce_cb",)),
        Ours(("perturbation.rho",), losses=tuple(_RHO_OURS), perturbations=("sam",)),
        Ours(
            ("perturbation.rho",),
            benchmarks=tuple(f"{data_set}lt{factor}" for data_set in _RHO for factor in (10, 50, 200)),
            losses=("ce", "ce_drw", "ldam_drw", "vs"),
            perturbations=("sam",),
        ),
        Ours(("perturbation.rho", "perturbation.eta"), perturbations=("imbsam",)),
        Ours(
            ("perturbation.rho_head", "perturbation.rho_tail", "perturbation.gamma", "perturbation.eta"),
            perturbations=("ssesam",),
        ),
        Ours(("perturbation.rho",), perturbations=("pgd",)),
        Ours(("perturbation.std", "perturbation.parts"), perturbations=("lpfsgd",)),
        # No paper has these methods on CIFAR with this first stage; their settings are those of their code, with the
        # first stage's optimizer and batch size.
        Ours(FIELDS, losses=tuple(_TWO_STAGE)),
        # The code of DRO-LT assigns radii to images of other classes, computes prototypes in a pass of their own, and
        # chooses an epoch on the test images. It does not say how its CE model was trained.
        Ours(("start",), losses=("drolt_backbone", "drolt")),
        Ours(("loss",), losses=("drolt_backbone",)),
        # In the papers' code every pass updates BatchNorm's running statistics; with one pass there is no choice.
        Ours(("trainable.batchnorm",), perturbations=("sam", "imbsam", "ssesam")),
    ),
    # Tau and eta.
    borrowed={"la": "lyu2025", "imbsam": "lyu2025"},
    second_stages=_TWO_STAGE | dro_lt(draws=50_000, epochs=(80, 20), view=AUTO_AUGMENTED),
)
