"""Protocols: what each family of recipes shares, every setting in one place."""

from ltzoo.recipes.protocols.a_cifar import A_CIFAR
from ltzoo.recipes.protocols.b_cifar import B_CIFAR
from ltzoo.recipes.protocols.digits import DIGITS
from ltzoo.recipes.protocols.protocol import Ours, Protocol

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (A_CIFAR, B_CIFAR, DIGITS)}

__all__ = ["A_CIFAR", "B_CIFAR", "DIGITS", "PROTOCOLS", "Ours", "Protocol"]
