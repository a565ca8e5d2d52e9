"""Escape from saddle points: the component of each method's gradient along the direction of negative curvature."""

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
    """The component of a method's gradient g along a direction v, averaged over batches.

    Attributes:
        mean_square: E[<v, g>^2]. For SGD, a value above 0 means that gradients are correlated with the negative
            curvature (the CNC condition, Daneshmand et al. 2018). For SAM on a quadratic with eigenvector v, the
            component in each batch is that of SGD times 1 + rho * lambda / norm(g): larger if
            lambda < -2 * norm(g) / rho, smaller between that and 0 (Rangwani 2022, Theorem 2; Lyu 2025, Theorem 1).
        share: mean_square / E[norm(g)^2], in [0, 1]; 0 if all gradients are 0. The expectation for a random direction
            is 1 / P.
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
    """Measure each method's component along a direction, at the same weights and on the same batches.

    The model is in evaluation mode meanwhile, as in `Curvature`. Weights, `.grad` and modes are restored, also after an
    error.

    Args:
        model: its trainable parameters are w.
        criterion: maps logits (B, C) and labels (B,) to one loss per image.
        batches: batches with all classes, as in training; iterated once.
        tables: for each method's name, a table of `perturbed_backward`.
        direction: (P,) of norm 1, the concatenation of the flattened trainable parameters' directions.
        class_weights: (C,) weights; None for all 1.

    Raises:
        InputError: a table uses noise, the direction does not fit, there is no batch, or a gradient is not finite.
        ValueError: `perturbed_backward` rejects the batch.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = sum(parameter.numel() for parameter in parameters)
    _check(tables, direction, size)
    like = parameters[0]
    direction = direction.to(like.device, like.dtype)
    tables = {name: table.to(like.device) for name, table in tables.items()}
    weights = None if class_weights is None else class_weights.to(like.device, like.dtype)
    squares, norms, count = dict.fromkeys(tables, 0.0), dict.fromkeys(tables, 0.0), 0
    with _evaluating(model, parameters):
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
                    raise InputError(f"a gradient of {name} is not finite: the weights have diverged; use earlier ones")
            count += 1
    if not count:
        raise InputError("there are no batches; pass at least one")
    # If all gradients are 0, the share is 0.
    return {name: Escape(squares[name] / count, squares[name] / norms[name] if norms[name] else 0.0) for name in tables}


def escape_tables(
    perturbations: Mapping[str, Perturbation], class_counts: Tensor | Sequence[int], epochs: int
) -> dict[str, Table]:
    """Make the tables to compare: one per perturbation, or two if those of the first and the last epoch differ.

    Args:
        perturbations: the perturbations by name.
        class_counts: (C,) training images of each class.
        epochs: length of the whole training.

    Returns:
        The table under the perturbation's name; if it changes over the epochs, the tables `NAME first epoch` and
        `NAME last epoch`.

    Raises:
        InputError: `epochs` is below 1.
    """
    if epochs < 1:
        raise InputError(f"epochs must be at least 1, not {epochs}; use the recipe's")
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
            raise InputError(f"{name} uses {table.direction} noise, so its component is random; leave it out")
    if not size:
        raise InputError("the model has no trainable parameter, so there is no gradient; set requires_grad")
    if direction.shape != (size,):
        raise InputError(
            f"the direction must be ({size},), one entry per trainable weight, not {tuple(direction.shape)}; "
            "take it from the Hessian of this model"
        )
    norm = float(torch.linalg.vector_norm(direction))
    # Rounding changes the norm of an eigenvector by less.
    if not abs(norm - 1) < 1e-3:
        raise InputError(f"the direction must have norm 1, not {norm:g}; divide it by its norm")


@contextmanager
def _evaluating(model: nn.Module, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Switch to evaluation mode; afterwards restore each module's mode and each `.grad`, also after an error."""
    training = [(module, module.training) for module in model.modules()]
    # No copies needed: the caller sets each `.grad` to None before a step.
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
    """Concatenate the gradients to a vector (P,); None counts as zeros."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters])


def _same(one: Table, other: Table) -> bool:
    """Whether two tables are equal; dataclasses with tensors cannot be compared with ==."""
    return one.structure == other.structure and one.radii == other.radii
