"""What the protocols of one-stage methods on ImageNet-LT and iNaturalist 2018 have in common."""

from dataclasses import replace
from typing import Any

from ltzoo.data import WHOLE, Augmentation
from ltzoo.losses import Loss
from ltzoo.recipes.parts import Input
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.sharpness import NoPerturbation

CROPPED = Augmentation(crop_padding=0, horizontal_flip=True, min_scale=0.08)

RAND_AUGMENTED = replace(CROPPED, color_jitter=0.4, auto_augment="rand-n2-m10-mstd0.5", jitter_before_policy=True)
"""The view that the classifier of a contrastive method is trained on. In its code the policy resamples by bilinear or
bicubic interpolation at random, here by the bilinear one of the crop."""

_INPUT = Input(
    size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop_pct=0.875, interpolation="bilinear"
)
_INPUTS = {
    "imagenetlt": _INPUT,
    "inat18": replace(_INPUT, mean=(0.466, 0.471, 0.380), std=(0.195, 0.194, 0.192)),
}


def on_large(protocol: Protocol, benchmark: str, loss: Loss, **settings: Any) -> Protocol:
    """Return a method's protocol on ImageNet-LT or iNaturalist 2018, with SGD alone.

    Args:
        protocol: the method's on CIFAR, whose other settings are kept.
        benchmark: `imagenetlt` or `inat18`.
        loss: the loss with its constants there.
        **settings: further fields of `Protocol`.
    """
    (word,) = protocol.losses["cifar100"]
    own: dict[str, Any] = {
        "name": f"{protocol.paper}_{benchmark}",
        "subset": WHOLE,
        "groups": {"natural": "count"},
        "input": _INPUTS[benchmark],
        "losses": {benchmark: {word: loss}},
        "perturbations": {benchmark: {word: {"sgd": NoPerturbation()}}},
        "optimizers": {},
        "ours": (),
    }
    return replace(protocol, **(own | settings))
