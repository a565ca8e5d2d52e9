"""Our own protocols on CIFAR: ResNet-9 and Muon, a twentieth to a sixth of the operations of Rangwani 2022 with SGD.

Everything but the length of `FAST_CIFAR_LONG`, which follows from the cost of SSE-SAM, was chosen on training images
that the long-tailed subset leaves out, never on the test set; docs/fast.md has the log.
"""

from dataclasses import replace

from ltzoo.data import Augmentation
from ltzoo.losses import CE, DRW, LA, LDAM, VS
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineHead
from ltzoo.recipes.protocols.lyu2025_cifar import ETA
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.recipes.protocols.second_stage import mislas, two_stage_methods
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation

_SHARED_LOSSES = {"ce": CE(), "ce_mixup": CE(), "ldam": LDAM(max_margin=0.5, scale=30.0), "la": LA(tau=1.0)}


def _perturbations(eta: float) -> dict[str, Perturbation]:
    """Return the perturbations, with radii chosen on held-out images of CIFAR-100-LT (docs/fast.md)."""
    return {
        "sgd": NoPerturbation(),
        "sam": SAM(rho=0.3),
        "imbsam": ImbSAM(rho=0.3, eta=eta),
        "ssesam": SSESAM(rho_head=0.3, rho_tail=0.3, gamma=0.7, eta=eta),
    }


_AUGMENTATION = Augmentation(crop_padding=4, horizontal_flip=False, alternate_flip=True, cutout=8)

_HEAD_OPTIMIZER = Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=False)
"""That of second stages, which train no convolution, so that Muon has nothing to do."""

_SECOND_STAGES = two_stage_methods() | {
    # As in Zhong 2021's code, whose first stage has mixup too.
    "cifar10lt_mislas": mislas(most=0.3, least=0.0, lr_factor=0.5, shifted_batchnorm=False),
    "cifar100lt_mislas": mislas(most=0.4, least=0.1, lr_factor=0.2, shifted_batchnorm=True),
}

FAST_CIFAR = Protocol(
    name="fast_cifar",
    paper="ltzoo",
    cites=("jordan2024", "jordan2024muon"),
    subset="cao",
    groups={"exponential": "mislas"},
    paper_rule=None,
    optimizer=Optimizer(
        kind="muon", lr=0.05, momentum=0.9, weight_decay=0.0, nesterov=True, beta2=0.99, adamw_lr=0.005
    ),
    schedule=Schedule(epochs=27, warmup_epochs=5, milestones=(), factors=(), decay="linear"),
    batch_size=128,
    augmentation=_AUGMENTATION,
    augmentations={"ce_mixup": replace(_AUGMENTATION, mixup=1.0)},
    # As in Rangwani 2022's code, whose 160 of 200 epochs are 21 of 27, rounded down.
    rules={"drw": DRW(start=21, beta=0.9999)},
    losses={
        # gamma and tau of VS as in Rangwani 2022's protocol.
        "cifar10": _SHARED_LOSSES | {"vs": VS(gamma=0.15, tau=1.25)},
        "cifar100": _SHARED_LOSSES | {"vs": VS(gamma=0.05, tau=0.75)},
    },
    heads={"ldam": CosineHead()},
    perturbations={
        benchmark: dict.fromkeys(("ce", "ce_mixup", "ce_drw", "ldam_drw", "la", "vs"), _perturbations(ETA[benchmark]))
        for benchmark in ("cifar10lt", "cifar100lt")
    },
    ours=(),
    second_stages={method: replace(stage, optimizer=_HEAD_OPTIMIZER) for method, stage in _SECOND_STAGES.items()},
)

_WITH_CUTMIX = {"la_cutmix": LA(tau=1.0)}

FAST_CIFAR_CUTMIX = replace(
    FAST_CIFAR,
    name="fast_cifar_cutmix",
    cites=(*FAST_CIFAR.cites, "menon2021"),
    # Twice as many epochs over-fit without stronger augmentation (docs/fast.md).
    schedule=Schedule(epochs=57, warmup_epochs=10, milestones=(), factors=(), decay="linear"),
    augmentation=replace(_AUGMENTATION, cutmix=1.0, mixup_off_epoch=45),
    augmentations={},
    rules={},
    losses={"cifar10": _WITH_CUTMIX, "cifar100": _WITH_CUTMIX},
    heads={},
    perturbations={benchmark: {"la_cutmix": {"sgd": NoPerturbation()}} for benchmark in ("cifar10lt", "cifar100lt")},
    second_stages={},
)
"""Twice as many epochs, with CutMix in the first four fifths of them."""

_LONG = {
    data_set: {f"{loss}_long": losses[loss] for loss in ("ce", "la", "vs")}
    for data_set, losses in FAST_CIFAR.losses.items()
}

FAST_CIFAR_LONG = replace(
    FAST_CIFAR,
    name="fast_cifar_long",
    # SSE-SAM takes 10 forward passes per image in the mean over 27 epochs, 270; SGD with 3 in each of 91 takes 273.
    schedule=replace(FAST_CIFAR.schedule, epochs=91, warmup_epochs=16),
    augmentations={},
    rules={},
    losses=_LONG,
    heads={},
    perturbations={
        f"{data_set}lt": {loss: {"sgd": NoPerturbation()} for loss in losses} for data_set, losses in _LONG.items()
    },
    second_stages={},
)
"""SGD for as many passes as SSE-SAM takes, to compare both at equal cost."""
