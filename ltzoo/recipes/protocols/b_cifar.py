"""Paper B on CIFAR: ResNet-34, the first images of each class, 200 epochs with a cosine, SAM with small radii."""

from ltzoo.data import Augmentation
from ltzoo.losses import CE, LA, VS, LogitLDAM
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.recipe import Optimizer, PaperRule, Schedule
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation, SAMExt

_LOSSES = {
    "ce": CE(),
    "ldam": LogitLDAM(max_margin=0.5, scale=30.0),
    "la": LA(tau=0.75),
    "vs": VS(gamma=0.05, tau=0.75),
}

_ETA = {"cifar10": 200, "cifar100": 100}


def _perturbations(eta: float) -> dict[str, Perturbation]:
    return {
        "sgd": NoPerturbation(),
        "sam": SAM(rho=0.05),
        # The published rows come from B's code, which divides each group's loss by the group's own images.
        "imbsam": ImbSAM(rho=0.10, eta=eta, normalization="group"),
        "samext": SAMExt(rho_head=0.05, rho_tail=0.10, eta=eta),
        "ssesam": SSESAM(rho_head=0.05, rho_tail=0.10, gamma=0.7, eta=eta),
    }


B_CIFAR = Protocol(
    name="B-CIFAR",
    paper="B",
    cites=("lyu2025",),
    subset="first",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=10, flip=True),
    optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-3, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=0, milestones=(), factors=(), decay="cosine"),
    batch_size=64,
    augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
    rules={},
    losses=dict.fromkeys(_ETA, _LOSSES),
    classifiers={},
    perturbations={data_set: {loss: _perturbations(eta) for loss in _LOSSES} for data_set, eta in _ETA.items()},
    ours=(
        Ours(
            ("perturbation.eta",),
            benchmarks=("cifar10lt", "cifar10lt10", "cifar10lt50", "cifar10lt200"),
            perturbations=("imbsam", "samext", "ssesam"),
        ),
        # The paper's code lets every pass into BatchNorm's running statistics.
        Ours(("batchnorm",), perturbations=("sam", "imbsam", "samext", "ssesam")),
    ),
)
