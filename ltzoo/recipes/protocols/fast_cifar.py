"""Our own protocol on CIFAR: ResNet-9 and Muon, about a twentieth of the operations of Rangwani 2022's SGD recipes.

Everything was chosen on training images that the long-tailed subset leaves out, never on the test set; docs/fast.md
has the log.
"""

from dataclasses import replace

from ltzoo.data import Augmentation
from ltzoo.losses import CE, DRW, LA, LDAM, VS
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineHead
from ltzoo.recipes.protocols.lyu2025_cifar import ETA
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.recipes.protocols.second_stage import two_stage_methods
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation

_SHARED_LOSSES = {"ce": CE(), "ldam": LDAM(max_margin=0.5, scale=30.0), "la": LA(tau=1.0)}


def _perturbations(eta: float) -> dict[str, Perturbation]:
    """Return the perturbations, with radii chosen on held-out images of CIFAR-100-LT (docs/fast.md)."""
    return {
        "sgd": NoPerturbation(),
        "sam": SAM(rho=0.3),
        "imbsam": ImbSAM(rho=0.3, eta=eta),
        "ssesam": SSESAM(rho_head=0.3, rho_tail=0.3, gamma=0.7, eta=eta),
    }


_HEAD_OPTIMIZER = Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=False)
"""That of second stages, which train no convolution, so that Muon has nothing to do."""

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
    augmentation=Augmentation(crop_padding=4, horizontal_flip=False, alternate_flip=True, cutout=8),
    # As in Rangwani 2022's code, whose 160 of 200 epochs are 21 of 27, rounded down.
    rules={"drw": DRW(start=21, beta=0.9999)},
    losses={
        # gamma and tau of VS as in Rangwani 2022's protocol.
        "cifar10": _SHARED_LOSSES | {"vs": VS(gamma=0.15, tau=1.25)},
        "cifar100": _SHARED_LOSSES | {"vs": VS(gamma=0.05, tau=0.75)},
    },
    heads={"ldam": CosineHead()},
    perturbations={
        benchmark: dict.fromkeys(("ce", "ce_drw", "ldam_drw", "la", "vs"), _perturbations(ETA[benchmark]))
        for benchmark in ("cifar10lt", "cifar100lt")
    },
    ours=(),
    second_stages={method: replace(stage, optimizer=_HEAD_OPTIMIZER) for method, stage in two_stage_methods().items()},
)
