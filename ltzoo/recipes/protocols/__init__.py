"""Protocols: what each family of recipes shares, every setting in one place."""

from ltzoo.recipes.protocols.a_cifar import A_CIFAR
from ltzoo.recipes.protocols.a_large import A_LARGE
from ltzoo.recipes.protocols.b_cifar import B_CIFAR
from ltzoo.recipes.protocols.digits import DIGITS
from ltzoo.recipes.protocols.fine_tuning import FINE_TUNING
from ltzoo.recipes.protocols.protocol import Ours, Protocol, data_set_and_profile

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for protocol in (A_CIFAR, B_CIFAR, A_LARGE, DIGITS, FINE_TUNING)
}

__all__ = [
    "A_CIFAR",
    "A_LARGE",
    "B_CIFAR",
    "DIGITS",
    "FINE_TUNING",
    "PROTOCOLS",
    "Ours",
    "Protocol",
    "data_set_and_profile",
]
