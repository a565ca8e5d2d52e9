"""Cui 2021 (PaCo): 400 epochs, a view with AutoAugment and Cutout or RandAugment, and one for the momentum encoder.

Settings are those of the code (github.com/dvlab-research/Parametric-Contrastive-Learning), which on CIFAR has CIFAR-100
alone. It leaves out the last, smaller batch of an epoch.
"""

from dataclasses import replace

from ltzoo.data import Augmentation
from ltzoo.losses import PaCo
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.borrowed import CIFAR10_LT, PERTURBED, perturbations_like
from ltzoo.recipes.protocols.large import on_large
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.views import AUTO_AUGMENTED, RAND_AUGMENTED
from ltzoo.recipes.recipe import PaperRule

SIMILARITY = Augmentation(
    crop_padding=0,
    horizontal_flip=True,
    min_scale=0.2,
    color_jitter=0.4,
    color_jitter_hue=0.1,
    color_jitter_prob=0.8,
    grayscale_prob=0.2,
    gaussian_blur_prob=0.5,
    interpolation="bilinear",
)

LARGE_SIMILARITY = replace(SIMILARITY, min_scale=0.08, color_jitter_hue=0.0, color_jitter_prob=1.0)

_PACO = PaCo(temperature=0.05, alpha=0.01, momentum=0.999, queue_size=1024, hidden_size=64, projection_size=32)

CUI2021_CIFAR = Protocol(
    name="cui2021_cifar",
    paper="cui2021",
    cites=("cui2021",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=False),
    schedule=Schedule(epochs=400, warmup_epochs=10, milestones=(320, 360), factors=(0.1, 0.01)),
    batch_size=128,
    augmentation=AUTO_AUGMENTED,
    views={"paco": (AUTO_AUGMENTED, SIMILARITY)},
    rules={},
    losses={data_set: {"paco": _PACO} for data_set in ("cifar10", "cifar100")},
    heads={},
    perturbations=perturbations_like("la", "paco"),
    ours=(
        Ours(("sampler",)),
        Ours(("optimizer", "schedule", "batch_size", "views", "loss"), benchmarks=CIFAR10_LT),
        *PERTURBED,
    ),
)


def _large(benchmark: str, weight_decay: float) -> Protocol:
    return on_large(
        CUI2021_CIFAR,
        benchmark,
        replace(_PACO, temperature=0.2, alpha=0.05, queue_size=8192, hidden_size=2048, projection_size=128),
        optimizer=Optimizer(lr=0.02, momentum=0.9, weight_decay=weight_decay, nesterov=False),
        schedule=Schedule(400, warmup_epochs=10, milestones=(), factors=(), decay="cosine_after_warmup"),
        augmentation=RAND_AUGMENTED,
        views={"paco": (RAND_AUGMENTED, LARGE_SIMILARITY)},
        ours=(Ours(("sampler",)),),
    )


CUI2021_IMAGENETLT = _large("imagenetlt", weight_decay=5e-4)
CUI2021_INAT18 = _large("inat18", weight_decay=1e-4)
