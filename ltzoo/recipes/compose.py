"""Composes recipes and their names from a protocol, architecture, benchmark, loss, rule and perturbation."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ltzoo.data import InstanceSampler
from ltzoo.losses import NoReweighting
from ltzoo.recipes.citations import METHOD_CITATIONS
from ltzoo.recipes.parts import CosineExpertsHead, FirstStage, Head, LinearHead, Trainable
from ltzoo.recipes.protocols import Protocol, data_set_and_profile
from ltzoo.recipes.published import published_figures
from ltzoo.recipes.recipe import Recipe, Source
from ltzoo.sharpness import NoPerturbation, Perturbation

_Part = TypeVar("_Part")

ARCHITECTURES = {
    "resnet9": "resnet9_cifar",
    "resnet9wide": "resnet9_wide_cifar",
    "resnet20": "resnet20_cifar",
    "resnet32": "resnet32_cifar",
    "resnet32wide": "resnet32_wide_cifar",
    "resnet34": "resnet34_cifar",
    "resnet50": "resnet50",
    "resnext50": "resnext50_32x4d",
    "efficientnetlite0": "tf_efficientnet_lite0.in1k",
    "vitb16": "vit_base_patch16_224.augreg_in21k",
}
"""The architecture's word in a recipe's name, mapped to its name in timm."""

_WITH_OWN_HEAD = {"resnet50"}
"""Of these, timm's own: another classifier than a linear one is part of the architecture's name in timm."""

_WITH_EXPERTS = {
    "resnet20": "resnet20_3experts_cifar",
    "resnet32": "resnet32_3experts_cifar",
    "resnet50": "resnet50_3experts",
}
"""What these words stand for where a method has three experts."""

_RADII = {
    "sam": ("rho",),
    "imbsam": ("rho",),
    "samext": ("rho_head", "rho_tail"),
    "ssesam": ("rho_head", "rho_tail"),
    "focalsam": ("rho",),
    "asam": ("rho",),
    "gsam": ("rho",),
    "pgd": ("rho",),
    "gnm": ("rho",),
}
"""The perturbation's word, mapped to the radii that can follow it in a name with two digits each."""


def compose(architecture: str, benchmark: str, loss: str, rule: str, perturbation: str, protocol: Protocol) -> Recipe:
    """Compose a recipe; its name follows from the parts.

    Args:
        architecture: a key of `ARCHITECTURES`.
        benchmark: name of the benchmark.
        loss: the loss's word: `ce`, `ldam`, `la`, `vs`, ...
        rule: the re-weighting rule: `none` or a key of the protocol's rules.
        perturbation: the perturbation's word: `sgd`, `sam`, ...; radii that differ from the protocol's are appended in
            hundredths (`ssesam0505`).
        protocol: gives all other settings.

    Raises:
        ValueError: the protocol lacks one of the parts.
    """
    data_set, profile = data_set_and_profile(benchmark)
    loss_and_rule = loss if rule == "none" else f"{loss}_{rule}"
    word, digits = _split_radii(perturbation)
    base = _part(_part(protocol.perturbations, benchmark, protocol), loss_and_rule, protocol)
    moved = _with_radii(_part(base, word, protocol), digits)
    ours = tuple(
        key for entry in protocol.ours if entry.applies(benchmark, loss_and_rule, word) for key in entry.fields
    )
    if digits:
        # Radii in the name are given by the caller, and not chosen by us.
        ours = tuple(key for key in ours if key.removeprefix("perturbation.") not in _RADII[word])
    head = protocol.heads.get(loss, LinearHead())
    published = published_figures(architecture, benchmark, loss_and_rule, perturbation)
    works = [METHOD_CITATIONS[key] for key in (loss, rule, word) if key in METHOD_CITATIONS]
    works += [protocol.borrowed[key] for key in (loss, word) if key in protocol.borrowed]
    works += [figure.paper for figure in published]
    return Recipe(
        name=f"{architecture}_{benchmark}_{loss_and_rule}_{perturbation}",
        architecture=_architecture(architecture, head),
        benchmark=benchmark,
        protocol=protocol.name,
        subset=protocol.subset,
        loss=_part(_part(protocol.losses, data_set, protocol), loss, protocol),
        reweighting=NoReweighting() if rule == "none" else _part(protocol.rules, rule, protocol),
        start=protocol.start,
        # Perturbations by noise have no pass at w, so the running statistics cannot come from it alone. Whether it is
        # noise depends neither on the class counts nor on the epoch.
        trainable=protocol.trainable
        or Trainable("all", "clean" if moved.table((2, 1), 0, 1).direction == "gradient" else "all"),
        head=head,
        sampler=InstanceSampler(),
        views=protocol.views_of(loss),
        partners=protocol.partners.get(loss),
        perturbation=moved,
        optimizer=protocol.optimizer_of(benchmark, loss),
        schedule=protocol.schedule,
        batch_size=protocol.batch_size,
        input=protocol.input,
        precision=protocol.precision,
        groups=_part(protocol.groups, profile, protocol),
        paper_rule=protocol.paper_rule,
        source=Source(protocol.paper, tuple(dict.fromkeys((*protocol.cites, *works))), ours),
        published=published,
    )


def compose_second_stage(
    architecture: str, benchmark: str, method: str, perturbation: str, protocol: Protocol
) -> Recipe:
    """Compose the recipe of a second stage; its name has the perturbation of the first stage.

    Args:
        architecture: a key of `ARCHITECTURES`.
        benchmark: name of the benchmark.
        method: a key of the protocol's second stages, such as `crt`.
        perturbation: the perturbation's word of the first stage, see `compose`.
        protocol: gives all other settings.

    Raises:
        ValueError: the protocol lacks one of the parts.
    """
    stage = protocol.second_stage_of(benchmark, method)
    if stage is None:
        raise ValueError(
            f"the protocol {protocol.name} has no {method}; it has {', '.join(protocol.second_stages) or 'none'}"
        )
    if protocol.second_stage_of(benchmark, stage.first[0]):
        first = compose_second_stage(architecture, benchmark, stage.first[0], perturbation, protocol)
    else:
        first = compose(architecture, benchmark, *stage.first, perturbation, protocol)
    published = published_figures(architecture, benchmark, method, perturbation)
    cites = [*first.source.cites, *([METHOD_CITATIONS[method]] if method in METHOD_CITATIONS else [])]
    cites += [figure.paper for figure in published]
    # What is open in the first stage is said in its own recipe.
    open_here = [entry for entry in protocol.ours if method in (entry.losses or ())]
    ours = tuple(key for entry in open_here if entry.applies(benchmark, method, perturbation) for key in entry.fields)
    own: dict[str, Any] = {
        "name": f"{architecture}_{benchmark}_{method}_{perturbation}",
        "architecture": _architecture(architecture, stage.head),
        "start": FirstStage(first.name, stage.start_head),
        "views": (protocol.augmentation,),
        "perturbation": NoPerturbation(),
        "source": Source(protocol.paper, tuple(dict.fromkeys(cites)), ours),
        "published": published,
    }
    return replace(first, **(own | stage.settings))


def _architecture(word: str, head: Head) -> str:
    if head.module == CosineExpertsHead.module:
        return _WITH_EXPERTS[word]
    name = ARCHITECTURES[word]
    return f"{name}_{head.module}" if word in _WITH_OWN_HEAD and head.module != "linear" else name


def _part(parts: Mapping[str, _Part], key: str, protocol: Protocol) -> _Part:
    if key not in parts:
        raise ValueError(f"the protocol {protocol.name} has no {key}; it has {', '.join(parts) or 'none'}")
    return parts[key]


def _split_radii(word: str) -> tuple[str, tuple[str, ...]]:
    """Split `ssesam0510` into the perturbation's word and its radii in hundredths."""
    plain = word.rstrip("0123456789")
    return plain, tuple(re.findall("..?", word[len(plain) :]))


def _with_radii(perturbation: Perturbation, digits: tuple[str, ...]) -> Perturbation:
    if not digits:
        return perturbation
    fields = _RADII.get(perturbation.name, ())
    if len(fields) != len(digits) or any(len(pair) != 2 for pair in digits):
        raise ValueError(
            f"{perturbation.name}{''.join(digits)} must have two digits for each of its {len(fields)} radii"
        )
    return replace(perturbation, **{field: int(pair) / 100 for field, pair in zip(fields, digits, strict=True)})
