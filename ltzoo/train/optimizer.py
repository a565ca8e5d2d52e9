"""The base optimizer of a recipe: with which learning rate and weight decay each trainable weight is trained."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.optim import Muon, param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from ltzoo.models.classifiers import classifier_of
from ltzoo.recipes import Optimizer


def make_optimizer(
    settings: Optimizer,
    model: nn.Module,
    loss_parameters: Sequence[nn.Parameter] = (),
    slow: tuple[Sequence[nn.Parameter], float] = ((), 1.0),
) -> torch.optim.Optimizer:
    """Make the optimizer of a timm model's trainable weights.

    Args:
        settings: the optimizer's settings.
        model: the model, on its device and in its memory format.
        loss_parameters: parameters of the loss, which are trained together with the model's.
        slow: parameters with a learning rate of their own, and its factor; not with `layer_decay`.
    """
    if settings.kind == "muon":
        return _make_muon(settings, model, loss_parameters, slow)
    if settings.layer_decay is not None:
        groups = param_groups_layer_decay(
            model,
            settings.weight_decay,
            no_weight_decay_list=() if settings.decay_vectors else _no_decay(model),
            weight_decay_exclude_1d=not settings.decay_vectors,
            layer_decay=settings.layer_decay,
        )
    elif settings.decay_vectors:
        groups = [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]
    else:
        groups = param_groups_weight_decay(model, settings.weight_decay, no_weight_decay_list=_no_decay(model))
    of_slow = {id(parameter) for parameter in slow[0]}
    if of_slow:
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in of_slow]
    for parameters, more in ((slow[0], {"lr_scale": slow[1]}), (loss_parameters, {})):
        groups = [*groups, *(group | more for group in _groups(settings, parameters))]
    if settings.kind == "adamw":
        betas = (settings.momentum, settings.beta2)
        return torch.optim.AdamW(groups, settings.lr, betas, weight_decay=settings.weight_decay, fused=True)
    optimizer = torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
        fused=True,
    )
    # Otherwise the first step creates the buffers uninitialised, and they stay so if that step overflows.
    for group in optimizer.param_groups if settings.momentum else []:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _groups(settings: Optimizer, parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """Group parameters that are not the model's body: those that decay, and vectors, if these are kept from it."""
    still = [] if settings.decay_vectors else [parameter for parameter in parameters if parameter.ndim < 2]
    of_still = {id(parameter) for parameter in still}
    groups: list[dict[str, Any]] = [{"params": [p for p in parameters if id(p) not in of_still]}]
    groups += [{"params": still, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _make_muon(
    settings: Optimizer,
    model: nn.Module,
    loss_parameters: Sequence[nn.Parameter],
    slow: tuple[Sequence[nn.Parameter], float],
) -> Muon:
    """Make timm's Muon: weights of convolutions and linear layers below the classifier; AdamW for all else.

    "All else" includes position embeddings, class tokens and depthwise convolutions. The step of a matrix is scaled by
    the square root of rows over columns, if above 1, as in Jordan 2024.
    """
    assert settings.adamw_lr is not None  # `Optimizer` checks it
    head = set(classifier_of(model).modules())
    weights = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and module not in head
        and getattr(module, "groups", 1) == 1
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if id(parameter) in weights]
    of_slow = {id(parameter) for parameter in slow[0]}
    others = [parameter for parameter in trained if id(parameter) not in weights | of_slow]
    adamw = {"use_fallback": True, "weight_decay": 0.0, "nesterov": False}
    groups = [
        {"params": matrices, "use_muon": True, "weight_decay": settings.weight_decay},
        {"params": [*others, *loss_parameters], **adamw},
    ]
    return Muon(
        [*groups, {"params": list(slow[0]), "lr_scale": slow[1], **adamw}] if of_slow else groups,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        ns_coefficients="original",
        adjust_lr_fn="original",
        fallback_lr_scale=settings.adamw_lr / settings.lr,
        betas=(0.9, settings.beta2),
    )


def _no_decay(model: nn.Module) -> set[str]:
    """Return the weights that the model itself excludes from decay."""
    named = getattr(model, "no_weight_decay", None)
    return set(named()) if callable(named) else set()
