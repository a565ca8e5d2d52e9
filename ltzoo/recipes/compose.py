"""Names and recipes: protocol x benchmark x loss x rule x perturbation."""

from collections.abc import Iterator
from itertools import product

from ltzoo.data import get_benchmark
from ltzoo.losses import NoReweighting, Reweighting
from ltzoo.recipes.citations import METHOD_CITATIONS
from ltzoo.recipes.protocols import A_CIFAR, DIGITS, Protocol
from ltzoo.recipes.published import published_figures
from ltzoo.recipes.recipe import Recipe, Source
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation

ARCHITECTURES = {"resnet20": "resnet20_cifar", "resnet32": "resnet32_cifar"}
"""An architecture's word in a recipe's name to its name in timm."""


def compose(architecture: str, benchmark: str, loss: str, rule: str, perturbation: str, protocol: Protocol) -> Recipe:
    """Compose a recipe; its name follows from the parts.

    Args:
        architecture: as in a recipe's name, a key of `ARCHITECTURES`.
        benchmark: name of the benchmark.
        loss: `ce`, `ldam`, `la`, `vs`.
        rule: re-weighting, `none` or `drw`.
        perturbation: `sgd`, `sam`, `imbsam`, `ssesam`.
        protocol: everything else.

    Raises:
        ValueError: the rule is `drw` and the protocol has none.
    """
    data_set = get_benchmark(benchmark).data_set.name
    loss_and_rule = loss if rule == "none" else f"{loss}_{rule}"
    words = (loss, rule, perturbation)
    works = [METHOD_CITATIONS[word] for word in words if word in METHOD_CITATIONS]
    # Paper B gives tau of LA and eta of the tail partition.
    borrowed = ["lyu2025"] if protocol.paper != "ltzoo" and (loss == "la" or perturbation == "imbsam") else []
    cites = (*protocol.cites, *works, *borrowed)
    return Recipe(
        name=f"{architecture}_{benchmark}_{loss_and_rule}_{perturbation}",
        architecture=ARCHITECTURES[architecture],
        classifier=protocol.classifiers.get(loss, "linear"),
        benchmark=benchmark,
        protocol=protocol.name,
        subset=protocol.subset,
        loss=protocol.losses[data_set][loss],
        reweighting=_reweighting(rule, protocol),
        perturbation=_perturbation(perturbation, data_set, loss_and_rule, protocol),
        batchnorm="clean",
        optimizer=protocol.optimizer,
        schedule=protocol.schedule,
        batch_size=protocol.batch_size,
        augmentation=protocol.augmentation,
        precision="float32",
        groups=protocol.groups,
        paper_rule=protocol.paper_rule,
        source=Source(protocol.paper, tuple(dict.fromkeys(cites)), _ours(perturbation, loss, loss_and_rule, protocol)),
        published=published_figures(architecture, benchmark, loss_and_rule, perturbation),
    )


def _reweighting(rule: str, protocol: Protocol) -> Reweighting:
    if rule == "none":
        return NoReweighting()
    if protocol.drw is None:
        raise ValueError(f"the protocol {protocol.name} has no {rule}")
    return protocol.drw


def _perturbation(name: str, data_set: str, loss_and_rule: str, protocol: Protocol) -> Perturbation:
    rho, eta = protocol.sam_rho[data_set][loss_and_rule], protocol.eta[data_set]
    made: dict[str, Perturbation] = {
        "sgd": NoPerturbation(),
        "sam": SAM(rho=rho),
        # No paper gives radii of these for ResNet-32: they start from the protocol's radius of SAM.
        "imbsam": ImbSAM(rho=rho, eta=eta),
        "ssesam": SSESAM(rho_head=rho, rho_tail=rho, gamma=protocol.gamma, eta=eta),
    }
    return made[name]


def _ours(perturbation: str, loss: str, loss_and_rule: str, protocol: Protocol) -> tuple[str, ...]:
    """Name the fields that the protocol's paper does not give; none for a protocol of our own."""
    if protocol.paper == "ltzoo":
        return ()
    radii = {
        "sam": ("perturbation.rho",) if loss_and_rule in protocol.ours_sam else (),
        "imbsam": ("perturbation.rho", "perturbation.eta"),
        "ssesam": ("perturbation.rho_head", "perturbation.rho_tail", "perturbation.gamma", "perturbation.eta"),
    }
    # The papers' code lets every pass into BatchNorm's running statistics; with a single pass there is no difference.
    statistics = () if perturbation == "sgd" else ("batchnorm",)
    return (*protocol.ours.get(loss, ()), *radii.get(perturbation, ()), *statistics)


def shipped_recipes() -> Iterator[Recipe]:
    """Compose every recipe that comes with the package."""
    perturbations = ("sgd", "sam", "imbsam", "ssesam")
    a_losses = (("ce", "none"), ("ce", "drw"), ("ldam", "none"), ("ldam", "drw"), ("la", "none"), ("vs", "none"))
    for benchmark, (loss, rule), perturbation in product(("cifar10lt", "cifar100lt"), a_losses, perturbations):
        yield compose("resnet32", benchmark, loss, rule, perturbation, A_CIFAR)
    for loss, perturbation in product(("ce", "ldam", "la", "vs"), perturbations):
        yield compose("resnet20", "digitslt", loss, "none", perturbation, DIGITS)
