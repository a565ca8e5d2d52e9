"""Cui 2021 (PaCo) on CIFAR: 400 epochs, a view with AutoAugment and Cutout and one for the momentum encoder.

Settings are those of the code (github.com/dvlab-research/Parametric-Contrastive-Learning), which has CIFAR-100 alone.
It leaves out the last, smaller batch of an epoch.
"""

from ltzoo.data import Augmentation
from ltzoo.losses import PaCo
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.recipe import PaperRule

AUTO_AUGMENTED = Augmentation(crop_padding=4, horizontal_flip=True, auto_augment="cifar10", cutout=16)
"""The view that the classifier is trained on, in this protocol and those that follow it."""

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

_LOSSES = {
    "paco": PaCo(temperature=0.05, alpha=0.01, momentum=0.999, queue_size=1024, hidden_size=64, projection_size=32)
}

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
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={},
    perturbations=perturbations_like("la", "paco"),
    ours=(
        Ours(("sampler",)),
        Ours(("optimizer", "schedule", "batch_size", "views", "loss"), benchmarks=("cifar10lt",)),
        *PERTURBED,
    ),
)
