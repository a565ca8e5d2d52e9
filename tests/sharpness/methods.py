"""The methods under proof, and the classes that they see: two of the head, two of the tail."""

import torch
from torch import nn

from ltzoo.sharpness import LPFSGD, PGD, SAM, SSESAM, ImbSAM, NoPerturbation, SAMExt

COUNTS = torch.tensor([60, 30, 9, 4])
CE = nn.CrossEntropyLoss(reduction="none")
METHODS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.5),
    "imbsam": ImbSAM(rho=0.5, eta=10),
    "imbsam by group": ImbSAM(rho=0.5, eta=10, normalization="group"),
    "samext": SAMExt(rho_head=0.3, rho_tail=0.6, eta=10),
    "ssesam stage 1": SSESAM(rho_head=0.3, rho_tail=0.6, gamma=1, eta=10),
    "ssesam stage 2": SSESAM(rho_head=0.3, rho_tail=0.6, gamma=0, eta=10),
}
NOISE = {"pgd": PGD(rho=0.5), "lpfsgd": LPFSGD(std=0.1, parts=3)}


def make_network() -> nn.Module:
    """A small float64 network with BatchNorm, the same at every call."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 4)]
    return nn.Sequential(*layers).double()
