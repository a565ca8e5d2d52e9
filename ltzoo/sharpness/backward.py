"""The one engine: g = sum over groups k of grad L_k(w + eps_k), with the fewest passes that compute it exactly."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.batchnorm import frozen_statistics
from ltzoo.sharpness.table import GroupTable

Gradient = list[Tensor | None]
"""One entry a parameter; None where the loss does not depend on it."""


def perturbed_backward(
    model: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    table: GroupTable,
    *,
    class_weights: Tensor | None = None,
    forward: Callable[[Tensor], Tensor] | None = None,
    batchnorm: Literal["clean", "all"] = "clean",
    scaler: GradScaler | None = None,
) -> Tensor:
    """Add the perturbed gradient to `.grad`, as `loss.backward()` adds the plain one; a step of any optimizer follows.

    With u_i = w[y_i] / (sum over the batch of w[y]), the loss of group k is L_k = sum over its images of u_i * loss_i,
    so that the groups add up to the (weighted) mean loss, and eps_k = rho_k * grad L_k(w) / norm(grad L_k(w)), the norm
    taken over all parameters together. SAM, ImbSAM and SSE-SAM are rows of `table` (Rangwani 2022; Lyu 2025). The
    groups share one forward pass at w; groups that stay at w share one backward pass too.
    In one process; called twice before a step, it adds up, as `loss.backward()` does.
    The weights are bit for bit as before when this returns or raises, and their storage is not moved.

    Args:
        model: the module whose trainable parameters are perturbed.
        criterion: (logits, targets) to one loss an image, (B,).
        images: (B, ...) whatever `forward` takes.
        targets: (B,) int64 classes, on the device of `table.members`.
        table: groups and radii.
        class_weights: (C,) weights w of the classes, or None for 1 each.
        forward: images to logits; `model` itself unless given (a compiled or an autocast wrapper of it, say).
        batchnorm: "clean" lets only the pass at w into the running statistics, "all" every pass (as the papers' code).
        scaler: scales the losses in float16; `.grad` is then scaled too, as `scaler.step` expects it.

    Returns:
        The loss at w, sum of the L_k: a detached scalar.

    Raises:
        ValueError: no parameter is trainable, `criterion` reduced the loss, `batchnorm` is no policy or does not suit
            the scaler, or the model is wrapped for several processes.
    """
    if batchnorm not in ("clean", "all"):
        raise ValueError(f"batchnorm must be 'clean' or 'all', not {batchnorm!r}")
    if batchnorm == "all" and scaler is not None:
        # An overflow at w makes eps infinite; the scaler would skip the step, the statistics would keep the damage.
        raise ValueError("batchnorm='all' cannot be used with a loss scaler; use 'clean'")
    if isinstance(model, DistributedDataParallel) or isinstance(forward, DistributedDataParallel):
        raise ValueError("the step runs in one process: DistributedDataParallel would not average its gradients")
    parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("the model has no trainable parameter")
    forward = forward or model

    def losses_here() -> Tensor:
        losses = criterion(forward(images), targets)
        if losses.shape != targets.shape:
            raise ValueError(
                f"criterion must give one loss an image, {tuple(targets.shape)}, not {tuple(losses.shape)}: "
                "pass reduction='none'"
            )
        return losses

    def gradient(shares: Tensor, losses: Tensor, retain_graph: bool = False) -> Gradient:
        part = (shares * losses).sum()
        scaled = part if scaler is None else scaler.scale(part)
        return list(torch.autograd.grad(scaled, parameters, retain_graph=retain_graph, allow_unused=True))

    losses = losses_here()
    shares = _shares(targets, class_weights, losses.dtype)
    loss = (shares * losses).sum().detach()
    rows = [(shares * members[targets], radius) for members, radius in _merged(table)]

    # Every gradient at w is taken before w is touched.
    at_w = [gradient(part, losses, retain_graph=k + 1 < len(rows)) for k, (part, _) in enumerate(rows)]
    total: Gradient = [None] * len(parameters)
    origin = [parameter.detach().clone() for parameter in parameters] if any(table.radii) else []
    for (part, radius), direction in zip(rows, at_w, strict=True):
        if radius == 0:
            total = _add(total, direction)
            continue
        try:
            _climb(parameters, direction, radius)
            with frozen_statistics(model) if batchnorm == "clean" else nullcontext():
                total = _add(total, gradient(part, losses_here()))
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, origin)

    for parameter, added in zip(parameters, total, strict=True):
        if added is not None:
            parameter.grad = added if parameter.grad is None else parameter.grad + added
    return loss


def _merged(table: GroupTable) -> list[tuple[Tensor, float]]:
    """Rows of the table, those of radius 0 as one: what stays at w needs a single backward pass."""
    rows = list(zip(table.members, table.radii, strict=True))
    still = [members for members, radius in rows if radius == 0]
    moved = [(members, radius) for members, radius in rows if radius > 0]
    return [(torch.stack(still).any(dim=0), 0.0), *moved] if still else moved


def _shares(targets: Tensor, class_weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Share u_i of each image in the batch's loss, (B,); the shares add up to 1."""
    if class_weights is None:
        return torch.full(targets.shape, 1 / len(targets), dtype=dtype, device=targets.device)
    weights = class_weights[targets].to(dtype)
    return weights / weights.sum()


@torch.no_grad()
def _climb(parameters: Sequence[Tensor], direction: Gradient, radius: float) -> None:
    """Move the parameters by radius * direction / norm(direction), in place; a zero direction moves nothing."""
    used = [(parameter, step) for parameter, step in zip(parameters, direction, strict=True) if step is not None]
    if not used:
        return
    moving, steps = [parameter for parameter, _ in used], [step for _, step in used]
    norm = nn.utils.get_total_norm(steps)
    torch._foreach_add_(moving, torch._foreach_mul(steps, radius / norm.clamp_min(torch.finfo(norm.dtype).tiny)))


def _add(total: Gradient, more: Gradient) -> Gradient:
    """Add two gradients, parameter by parameter."""
    return [b if a is None else a if b is None else a + b for a, b in zip(total, more, strict=True)]
