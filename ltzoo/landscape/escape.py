"""Escape made visible: how much of each method's update lies along the direction in which the loss curves down."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ltzoo.errors import InputError
from ltzoo.landscape.curvature import Batches
from ltzoo.sharpness import Perturbation, Table, perturbed_backward


@dataclass(frozen=True)
class Escape:
    """The component of a method's gradient g along a direction v, over batches that each count once.

    Attributes:
        mean_square: E[<v, g>^2]. Of SGD, above 0: gradients are correlated with the negative curvature (the CNC
            condition, Daneshmand et al. 2018). Of SAM, on a quadratic of which v is an eigenvector, each batch's
            component is that of SGD times 1 + rho * lambda / norm(g): larger where lambda < -2 * norm(g) / rho, and
            smaller from there to 0 (Rangwani 2022, Theorem 2; Lyu 2025, Theorem 1).
        share: mean_square / E[norm(g)^2], in [0, 1]; 0 where all gradients are 0. A random direction has 1 / P.
    """

    mean_square: float
    share: float


def measure_escape(
    model: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    batches: Batches,
    tables: Mapping[str, Table],
    direction: Tensor,
    class_weights: Tensor | None = None,
) -> dict[str, Escape]:
    """Measure each method's component along a direction, from the same weights and on the same batches.

    The model is in evaluation mode meanwhile, as it is where `Curvature` found the direction. Weights, `.grad` and
    modes are as before when this returns or raises.

    Args:
        model: its trainable parameters are w.
        criterion: logits (B, C) and labels (B,) to one loss an image.
        batches: of all classes, as a training has them; gone through once.
        tables: a name to a table of `perturbed_backward`.
        direction: (P,) of norm 1, laid out as the trainable parameters are, one after the other.
        class_weights: (C,) weights; None for 1.

    Raises:
        InputError: a table moves by noise, the direction does not fit, there is no batch, or a gradient is not finite.
        ValueError: `perturbed_backward` refuses the batch.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = sum(parameter.numel() for parameter in parameters)
    _check(tables, direction, size)
    like = parameters[0]
    direction = direction.to(like.device, like.dtype)
    tables = {name: table.to(like.device) for name, table in tables.items()}
    weights = None if class_weights is None else class_weights.to(like.device, like.dtype)
    squares, norms, count = dict.fromkeys(tables, 0.0), dict.fromkeys(tables, 0.0), 0
    with _as_before(model, parameters):
        for images, labels in batches:
            batch = images.to(like.device, like.dtype), labels.to(like.device)
            for name, table in tables.items():
                for parameter in parameters:
                    parameter.grad = None
                perturbed_backward(model, criterion, *batch, table, class_weights=weights)
                gradient = _flat_gradient(parameters)
                squares[name] += float(direction @ gradient) ** 2
                norms[name] += float(torch.linalg.vector_norm(gradient)) ** 2
                if not math.isfinite(norms[name]):
                    raise InputError(
                        f"a gradient of {name} is not finite: the weights have diverged; take earlier ones"
                    )
            count += 1
    if not count:
        raise InputError("there are no batches to take gradients on; give one at least")
    # A gradient of 0 has no component to share.
    return {name: Escape(squares[name] / count, squares[name] / norms[name] if norms[name] else 0.0) for name in tables}


def escape_tables(
    perturbations: Mapping[str, Perturbation], class_counts: Tensor | Sequence[int], epochs: int
) -> dict[str, Table]:
    """Fill the tables that are to be compared: one a perturbation, two where a training begins and ends with others.

    Args:
        perturbations: a name to each.
        class_counts: (C,) training images of each class.
        epochs: length of the whole training.

    Returns:
        The table under the perturbation's own name; where stages or schedules change it, that of the first epoch under
        `NAME first epoch` and that of the last under `NAME last epoch`.

    Raises:
        InputError: the training has no epoch.
    """
    if epochs < 1:
        raise InputError(f"a training has at least 1 epoch, not {epochs}; give the recipe's")
    tables = {}
    for name, perturbation in perturbations.items():
        first, last = (perturbation.table(class_counts, epoch, epochs) for epoch in (0, epochs - 1))
        if _same(first, last):
            tables[name] = first
        else:
            tables |= {f"{name} first epoch": first, f"{name} last epoch": last}
    return tables


def _check(tables: Mapping[str, Table], direction: Tensor, size: int) -> None:
    for name, table in tables.items():
        if table.direction != "gradient":
            raise InputError(
                f"{name} moves by {table.direction} noise, so its component is another at each draw; leave it out"
            )
    if not size:
        raise InputError("the model has no trainable parameter, so there is no gradient; set requires_grad")
    if direction.shape != (size,):
        raise InputError(
            f"the direction must be ({size},), an entry a trainable weight, not {tuple(direction.shape)}; "
            "take it from the Hessian of this model"
        )
    norm = float(torch.linalg.vector_norm(direction))
    # What rounding leaves of an eigenvector is nearer to 1.
    if not abs(norm - 1) < 1e-3:
        raise InputError(f"the direction must have norm 1, not {norm:g}; divide it by its norm")


@contextmanager
def _as_before(model: nn.Module, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Go into evaluation mode; bring each module's mode and each `.grad` back, whatever fails."""
    training = [(module, module.training) for module in model.modules()]
    # Kept as they are: the step never writes into a gradient that it did not make.
    gradients = [parameter.grad for parameter in parameters]
    model.eval()
    try:
        yield
    finally:
        for module, mode in training:
            module.training = mode
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient


def _flat_gradient(parameters: Sequence[Tensor]) -> Tensor:
    """Join the gradients to a vector (P,); the loss does not depend on a parameter that has none."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters])


def _same(one: Table, other: Table) -> bool:
    """Say whether two tables are alike."""
    return one.structure == other.structure and one.radii == other.radii
