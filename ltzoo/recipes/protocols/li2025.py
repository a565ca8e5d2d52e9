"""Li 2025 (Focal-SAM) on CIFAR with IF 100: LA and Focal-SAM, 200 epochs with a cosine.

Settings are those of the scripts (github.com/scongl/Focal-SAM), which have LA alone; the figures that the paper
publishes for other losses have none, and its listed figures do not name their loss.
"""

from ltzoo.data import Augmentation
from ltzoo.losses import LA
from ltzoo.recipes.optimization import Optimizer
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.second_stage import cosine
from ltzoo.recipes.recipe import PaperRule
from ltzoo.sharpness import FocalSAM


def _optimizer(weight_decay: float) -> Optimizer:
    return Optimizer(lr=0.1, momentum=0.9, weight_decay=weight_decay, nesterov=False)


LI2025_CIFAR = Protocol(
    name="li2025_cifar",
    paper="li2025",
    cites=("li2025",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=_optimizer(2e-4),
    optimizers={"cifar100lt": _optimizer(1e-3)},
    schedule=cosine(200),
    batch_size=64,
    augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
    rules={},
    losses={data_set: {"la": LA(tau=1.0)} for data_set in ("cifar10", "cifar100")},
    heads={},
    perturbations={
        "cifar10lt": {"la": {"focalsam": FocalSAM(rho=0.2, lam=0.5, gamma=3.0)}},
        "cifar100lt": {"la": {"focalsam": FocalSAM(rho=0.3, lam=0.8, gamma=3.2)}},
    },
    # In the paper's code every forward pass updates BatchNorm's running statistics.
    ours=(Ours(("trainable.batchnorm",)),),
)
