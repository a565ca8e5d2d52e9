"""What protocols have in common whose papers train without perturbation: perturbations of the most similar loss."""

from collections.abc import Mapping

from ltzoo.recipes.protocols.protocol import Ours
from ltzoo.recipes.protocols.rangwani2022_cifar import RANGWANI2022_CIFAR
from ltzoo.sharpness import Perturbation

WORDS = ("sgd", "sam", "ssesam")
"""Perturbations that recipes of these protocols have."""

PERTURBED = (Ours(("perturbation", "trainable.batchnorm"), perturbations=("sam", "ssesam")),)
"""What is ours in them: the paper trains with SGD."""


FACTORS = ("", "50", "10")
"""Imbalance factors of their benchmarks, as in a benchmark's name: 100, 50 and 10."""

CIFAR10_LT = tuple(f"cifar10lt{factor}" for factor in FACTORS)

CIFAR_LT = (*CIFAR10_LT, *(f"cifar100lt{factor}" for factor in FACTORS))
"""Their benchmarks."""


def perturbations_like(loss: str, word: str) -> dict[str, Mapping[str, Mapping[str, Perturbation]]]:
    """Return the perturbations of a loss, by benchmark, as `Protocol.perturbations` has them.

    Args:
        loss: `LOSS[_RULE]` of Rangwani 2022's protocol, whose radii are taken.
        word: the word of the loss that gets them.
    """
    of_loss = {name: RANGWANI2022_CIFAR.perturbations[name][loss] for name in CIFAR_LT}
    return {name: {word: {each: found[each] for each in WORDS}} for name, found in of_loss.items()}
