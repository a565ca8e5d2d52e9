"""Lyu 2025 on CIFAR: ResNet-34, the first images of each class, 200 epochs with a cosine, SAM with small radii."""

from ltzoo.data import Augmentation
from ltzoo.losses import CE, LA, VS, LogitLDAM
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.recipe import PaperRule
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation, SAMExt

_LOSSES = {
    "ce": CE(),
    "ldam": LogitLDAM(max_margin=0.5, scale=30.0),
    "la": LA(tau=0.75),
    "vs": VS(gamma=0.05, tau=0.75),
}

ETA = {
    **{f"cifar100{profile}": 100 for profile in ("lt", "lt10", "lt50", "lt200", "step")},
    **{f"cifar10{profile}": 200 for profile in ("lt", "lt50", "lt200", "step")},
    "cifar10lt10": 1000,
}
"""The tail partition's threshold by benchmark. The paper gives it for CIFAR-100. On CIFAR-10, 200 makes its three few
classes the tail; with IF 10 no class has so few images, and 1000 makes the same three classes the tail."""

_BENCHMARKS = tuple(benchmark for benchmark in ETA if not benchmark.endswith("step"))
_UNPRINTED = ("cifar10lt10", "cifar10lt50", "cifar10lt200", "cifar100lt10", "cifar100lt200")


def _perturbations(eta: float) -> dict[str, Perturbation]:
    return {
        "sgd": NoPerturbation(),
        "sam": SAM(rho=0.05),
        # The published rows come from the authors' code, which divides each group's loss by the group's own images.
        "imbsam": ImbSAM(rho=0.10, eta=eta, normalization="group"),
        "samext": SAMExt(rho_head=0.05, rho_tail=0.10, eta=eta),
        "ssesam": SSESAM(rho_head=0.05, rho_tail=0.10, gamma=0.7, eta=eta),
    }


LYU2025_CIFAR = Protocol(
    name="lyu2025_cifar",
    paper="lyu2025",
    cites=("lyu2025",),
    subset="first",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=10, flip=True),
    optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-3, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=0, milestones=(), factors=(), decay="cosine"),
    batch_size=64,
    augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
    rules={},
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={},
    perturbations={benchmark: dict.fromkeys(_LOSSES, _perturbations(ETA[benchmark])) for benchmark in _BENCHMARKS},
    ours=(
        # The paper has results for IF 100, and for IF 50 on CIFAR-100.
        Ours(("perturbation.rho",), benchmarks=_UNPRINTED, perturbations=("sam", "imbsam")),
        Ours(("perturbation.rho_head", "perturbation.rho_tail"), benchmarks=_UNPRINTED, perturbations=("samext",)),
        Ours(
            ("perturbation.rho_head", "perturbation.rho_tail", "perturbation.gamma"),
            benchmarks=_UNPRINTED,
            perturbations=("ssesam",),
        ),
        Ours(
            ("perturbation.eta",),
            benchmarks=("cifar10lt", "cifar10lt10", "cifar10lt50", "cifar10lt200"),
            perturbations=("imbsam", "samext", "ssesam"),
        ),
        # In the paper's code every forward pass updates BatchNorm's running statistics.
        Ours(("trainable.batchnorm",), perturbations=("sam", "imbsam", "samext", "ssesam")),
    ),
)
