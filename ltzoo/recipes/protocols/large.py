"""What the protocols of one-stage methods on ImageNet-LT and iNaturalist 2018 have in common."""

from dataclasses import replace
from typing import Any

from ltzoo.data import WHOLE
from ltzoo.losses import Loss
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.recipes.protocols.views import IMAGENET_INPUT
from ltzoo.sharpness import NoPerturbation

_INPUTS = {
    "imagenetlt": IMAGENET_INPUT,
    "inat18": replace(IMAGENET_INPUT, mean=(0.466, 0.471, 0.380), std=(0.195, 0.194, 0.192)),
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
