"""Wang 2021 (RIDE): three narrow experts. On CIFAR 200 epochs, images turned by up to 15 degrees; on large sets 100.

Settings are those of the code (github.com/frank-xwang/RIDE-LongTailRecognition), which turns images where the paper
says nothing of it. On CIFAR it has CIFAR-100 with IF 100 alone. The routing of its second stage, which saves
computation, is left out; published rows have it. On ImageNet-LT it selects the epoch on the validation list, which no
rule of ours does.
"""

from dataclasses import replace

from ltzoo.data import Augmentation
from ltzoo.losses import RIDE
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineExpertsHead
from ltzoo.recipes.protocols.borrowed import CIFAR10_LT, PERTURBED, perturbations_like
from ltzoo.recipes.protocols.large import on_large
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.views import CROPPED
from ltzoo.recipes.recipe import PaperRule

TURNED = Augmentation(crop_padding=4, horizontal_flip=True, rotation=15.0)

_RIDE = RIDE(max_margin=0.5, scale=30.0, diversity=0.45, spread=0.05, start=160, beta=0.9999)

WANG2021_CIFAR = Protocol(
    name="wang2021_cifar",
    paper="wang2021",
    cites=("wang2021",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.01, 0.0001)),
    batch_size=128,
    augmentation=TURNED,
    rules={},
    losses={data_set: {"ride": _RIDE} for data_set in ("cifar10", "cifar100")},
    heads={"ride": CosineExpertsHead()},
    perturbations=perturbations_like("ldam_drw", "ride"),
    ours=(
        Ours(
            ("architecture", "head", "optimizer", "schedule", "batch_size", "views", "loss"),
            benchmarks=(*CIFAR10_LT, "cifar100lt50", "cifar100lt10"),
        ),
        *PERTURBED,
    ),
)


def large_optimizer(lr: float, weight_decay: float = 2e-4) -> Optimizer:
    """Return SGD with Nesterov momentum."""
    return Optimizer(lr=lr, momentum=0.9, weight_decay=weight_decay, nesterov=True)


LARGE_SCHEDULE = Schedule(epochs=100, warmup_epochs=5, milestones=(60, 80), factors=(0.1, 0.01))
_LARGE_RIDE = replace(_RIDE, diversity=0.2, spread=0.02, start=80)

WANG2021_IMAGENETLT = on_large(
    WANG2021_CIFAR,
    "imagenetlt",
    _LARGE_RIDE,
    paper_rule=None,
    optimizer=large_optimizer(0.1),
    schedule=LARGE_SCHEDULE,
    batch_size=256,
    augmentation=replace(CROPPED, color_jitter=0.4),
)
WANG2021_INAT18 = on_large(
    WANG2021_CIFAR,
    "inat18",
    replace(_LARGE_RIDE, spread=0.015),
    optimizer=large_optimizer(0.2),
    schedule=LARGE_SCHEDULE,
    batch_size=512,
    augmentation=CROPPED,
)
