"""How much of a small pretrained network to train: the head, the normalisation layers too, or all weights.

The protocol of `adapt.py` on CIFAR-10-LT and CIFAR-100-LT (SGD, 10 epochs, a cosine head that begins with class means),
with an EfficientNet-Lite0 pretrained on ImageNet-1k, small enough for a CPU. Images are enlarged to 128 pixels. The
three protocols differ only in what is trained and in what follows from it: a frozen network sees images without
augmentation, so that `--cache-features` computes their features once, and only where all weights are trained do
BatchNorm's statistics follow the batches. All settings that `adapt.py` does not have are ours, and none was tuned on
any images.
"""

from dataclasses import replace

from ltzoo.data import Augmentation
from ltzoo.losses import CE, LA, VS
from ltzoo.recipes.parts import Input, Trainable
from ltzoo.recipes.protocols.adapt import ADAPT_CIFAR, HEAD, PERTURBATIONS
from ltzoo.recipes.protocols.protocol import Ours, Protocol

_LOSSES = {"ce": CE(), "la": LA(tau=1.0), "vs": VS(gamma=0.05, tau=0.75)}


def _tuning(word: str, trainable: Trainable, ours: tuple[str, ...] = ()) -> Protocol:
    losses = {f"{word}_{loss}": settings for loss, settings in _LOSSES.items()}
    return replace(
        ADAPT_CIFAR,
        name=f"{word}_cifar",
        cites=("shi2024",),
        losses=dict.fromkeys(("cifar10", "cifar100"), losses),
        heads=dict.fromkeys(losses, HEAD),
        perturbations={benchmark: dict.fromkeys(losses, PERTURBATIONS) for benchmark in ADAPT_CIFAR.perturbations},
        ours=(
            Ours(("architecture", "trainable", "input", *ours)),
            Ours(("loss",), losses=(f"{word}_ce", f"{word}_vs")),
            Ours(("perturbation",), perturbations=("sam", "ssesam")),
        ),
        borrowed={f"{word}_vs": "lyu2025"},
        input=Input(size=128, crop_pct=1.0),
        trainable=trainable,
    )


FROZEN_CIFAR = replace(
    _tuning("frozen", Trainable("head", "frozen"), ours=("views",)),
    augmentation=Augmentation(crop_padding=0, horizontal_flip=False),
)
"""The head alone, on the frozen network."""

NORM_CIFAR = _tuning("norm", Trainable("norm", "frozen"))
"""The head and the normalisation layers' weights and biases; their statistics are those of the pretrained network."""

FULL_CIFAR = _tuning("full", Trainable("all", "clean"))
"""All weights; BatchNorm normalises by the batch, and its statistics are updated."""
