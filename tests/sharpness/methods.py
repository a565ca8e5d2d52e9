"""The methods under test, the classes that they see (two of the head, two of the tail), and a small network."""

import torch
from torch import Tensor, nn

from ltzoo.sharpness import (
    ASAM,
    CCSAM,
    GNM,
    GSAM,
    LPFSGD,
    PGD,
    SAM,
    SSESAM,
    FocalSAM,
    GroupSAM,
    ImbSAM,
    MixedTargets,
    NoPerturbation,
    Row,
    SAMExt,
    StepOptions,
    Table,
    perturbed_backward,
)

COUNTS = torch.tensor([60, 30, 9, 4])
CE = nn.CrossEntropyLoss(reduction="none")
CLASS_RADII = [0.1, 0.2, 0.3, 0.4]


class ByClass:
    """One row per class, each of which moves the classifier alone."""

    def table(self, counts, epoch=None, epochs=None):
        one = torch.eye(len(counts), dtype=torch.float64)
        return Table([Row(a, a, rho, "classifier") for a, rho in zip(one, CLASS_RADII, strict=True)])


METHODS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.5),
    "imbsam": ImbSAM(rho=0.5, eta=10),
    "imbsam by group": ImbSAM(rho=0.5, eta=10, normalization="group"),
    "samext": SAMExt(rho_head=0.3, rho_tail=0.6, eta=10),
    "ssesam stage 1": SSESAM(rho_head=0.3, rho_tail=0.6, gamma=1, eta=10),
    "ssesam stage 2": SSESAM(rho_head=0.3, rho_tail=0.6, gamma=0, eta=10),
    "focalsam": FocalSAM(rho=0.5, lam=1.1, gamma=0.4),
    "by class": ByClass(),
    "asam": ASAM(rho=0.5, eta=0.01),
    "gsam": GSAM(rho=0.5, alpha=0.4),
    "ccsam": CCSAM(rho=0.1, q=0.3),
    "ccsam all": CCSAM(rho=1e-6, q=0.3, scope="all"),
    "groupsam": GroupSAM(rho=0.1, eta=10),
}
NOISE = {"pgd": PGD(rho=0.5), "lpfsgd": LPFSGD(std=0.1, parts=3), "gnm": GNM(rho=0.05)}


class Network(nn.Sequential):
    """A network that knows its classifier, as timm's do."""

    def get_classifier(self):
        return self[4]


def make_network() -> nn.Module:
    """A small float64 network with BatchNorm, the same at every call."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 4)]
    return Network(*layers).double()


def step(model, criterion, images, targets, table, class_weights=None, target_weights=None, **options) -> Tensor:
    """The step, with its options and the weights of mixed images' labels as arguments."""
    labels = targets if target_weights is None else MixedTargets(targets, target_weights)
    return perturbed_backward(model, criterion, images, labels, table, class_weights, StepOptions(**options))


def gradient_of(batch, table, model=None, **options):
    """The loss of one step, and the gradients that it leaves; of a new network unless one is given."""
    model = make_network() if model is None else model
    loss = step(model, CE, *batch, table, **options)
    return loss, [parameter.grad for parameter in model.parameters()]


def assert_close(found, expected, atol=1e-14):
    """Compare gradients one by one."""
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=atol)
