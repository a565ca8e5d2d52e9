"""What protocols have in common whose papers train without perturbation: perturbations of the most similar loss."""

from collections.abc import Mapping

from ltzoo.recipes.protocols.protocol import Ours
from ltzoo.recipes.protocols.rangwani2022_cifar import RANGWANI2022_CIFAR
from ltzoo.sharpness import Perturbation

WORDS = ("sgd", "sam", "ssesam")
"""Perturbations that recipes of these protocols have."""

PERTURBED = (Ours(("perturbation", "trainable.batchnorm"), perturbations=("sam", "ssesam")),)
"""What is ours in them: the paper trains with SGD."""


def perturbations_like(loss: str, word: str) -> dict[str, Mapping[str, Mapping[str, Perturbation]]]:
    """Return the perturbations of a loss, by benchmark, as `Protocol.perturbations` has them.

    Args:
        loss: `LOSS[_RULE]` of Rangwani 2022's protocol, whose radii are taken.
        word: the word of the loss that gets them.
    """
    of_loss = {name: RANGWANI2022_CIFAR.perturbations[name][loss] for name in ("cifar10lt", "cifar100lt")}
    return {name: {word: {each: found[each] for each in WORDS}} for name, found in of_loss.items()}
