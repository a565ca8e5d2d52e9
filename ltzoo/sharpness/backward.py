"""The one engine: g = sum over groups k of grad L_k(w + eps_k), with the fewest passes that compute it exactly."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.batchnorm import frozen_statistics
from ltzoo.sharpness.moves import Gradient, climb, shake_alike, shake_filters
from ltzoo.sharpness.table import GroupTable


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
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add the perturbed gradient to `.grad`, as `loss.backward()` adds the plain one; a step of any optimizer follows.

    With u_i = w[y_i] / (sum over the batch of w[y]), the loss of group k is L_k = sum over its images of u_i * loss_i,
    so that the groups add up to the (weighted) mean loss, and eps_k = rho_k * grad L_k(w) / norm(grad L_k(w)), the norm
    taken over all parameters together. SAM, ImbSAM and SSE-SAM are rows of `table` (Rangwani 2022; Lyu 2025). A table
    can also divide each loss by its group's own images or multiply it by a factor, and it can take Gaussian noise for
    eps_k, which is then drawn anew for each part of the batch.
    The groups share one forward pass at w; groups that stay at w share one backward pass too.
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
            Noise has no pass at w and wants "all".
        scaler: scales the losses in float16; `.grad` is then scaled too, as `scaler.step` expects it.
        generator: of the noise, on the parameters' device; torch's own if None.

    Returns:
        The (weighted) mean loss, at w or, where the direction is noise, at the noisy weights: a detached scalar.

    Raises:
        ValueError: no parameter is trainable, `criterion` reduced the loss, `batchnorm` is no policy or does not suit
            the table or the scaler, or the model is wrapped for several processes.
    """
    _check_policy(batchnorm, table, scaler)
    if isinstance(model, DistributedDataParallel) or isinstance(forward, DistributedDataParallel):
        raise ValueError("the step runs in one process: DistributedDataParallel would not average its gradients")
    passes = _Passes(model, criterion, forward or model, images, targets, scaler)
    shares = _shares(targets, class_weights, passes.dtype)
    rows = _rows(table, targets, shares)
    if table.direction == "gradient":
        loss, total = _climbed(passes, rows, shares, batchnorm)
    else:
        loss, total = _shaken(passes, rows, shares, table, generator)
    for parameter, added in zip(passes.parameters, total, strict=True):
        if added is not None:
            parameter.grad = added if parameter.grad is None else parameter.grad + added
    return loss


def _check_policy(batchnorm: str, table: GroupTable, scaler: GradScaler | None) -> None:
    if batchnorm not in ("clean", "all"):
        raise ValueError(f"batchnorm must be 'clean' or 'all', not {batchnorm!r}")
    noise = table.direction != "gradient"
    if noise and batchnorm == "clean":
        raise ValueError(f"the direction {table.direction!r} has no pass at w; use batchnorm='all'")
    if not noise and batchnorm == "all" and scaler is not None:
        # An overflow at w makes eps infinite; the scaler would skip the step, the statistics would keep the damage.
        raise ValueError("batchnorm='all' cannot be used with a loss scaler; use 'clean'")


@dataclass(frozen=True)
class _Row:
    """A group within a batch: which images are its own, (B,) bool, their weights in its loss, (B,), and its radius."""

    own: Tensor
    weights: Tensor
    radius: float


def _rows(table: GroupTable, targets: Tensor, shares: Tensor) -> list[_Row]:
    """Rows of the table in this batch, those of radius 0 as one: what stays at w needs a single backward pass."""
    rows = []
    for members, radius, factor in zip(table.members, table.radii, table.factors, strict=True):
        own = members[targets]
        weights = factor * shares * own
        if table.reduction == "group":
            # Without images there is nothing to divide; the weights are 0.
            weights = weights / (shares * own).sum().clamp_min(torch.finfo(shares.dtype).tiny)
        rows.append(_Row(own, weights, radius))
    still = [row for row in rows if row.radius == 0]
    if len(still) < 2:
        return rows
    merged = _Row(torch.stack([row.own for row in still]).any(0), sum((row.weights for row in still), 0 * shares), 0.0)
    return [merged, *(row for row in rows if row.radius > 0)]


def _shares(targets: Tensor, class_weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Share u_i of each image in the batch's loss, (B,); they add up to 1."""
    if class_weights is None:
        return torch.full(targets.shape, 1 / len(targets), dtype=dtype, device=targets.device)
    weights = class_weights[targets].to(dtype)
    return weights / weights.sum()


class _Passes:
    """Forward and backward passes over one batch, at w and beside it."""

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[[Tensor, Tensor], Tensor],
        forward: Callable[[Tensor], Tensor],
        images: Tensor,
        targets: Tensor,
        scaler: GradScaler | None,
    ) -> None:
        self.model, self.criterion, self.forward = model, criterion, forward
        self.images, self.targets, self.scaler = images, targets, scaler
        self.parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self.parameters:
            raise ValueError("the model has no trainable parameter")
        self.dtype = torch.promote_types(torch.float32, self.parameters[0].dtype)

    def losses(self, part: slice = slice(None)) -> Tensor:
        """Run the images of a part; one loss each."""
        targets = self.targets[part]
        losses = self.criterion(self.forward(self.images[part]), targets)
        if losses.shape != targets.shape:
            raise ValueError(
                f"criterion must give one loss an image, {tuple(targets.shape)}, not {tuple(losses.shape)}: "
                "pass reduction='none'"
            )
        return losses

    def gradient(self, weights: Tensor, losses: Tensor, retain_graph: bool = False) -> Gradient:
        """Differentiate the weighted sum of the losses."""
        summed = (weights.to(losses.dtype) * losses).sum()
        scaled = summed if self.scaler is None else self.scaler.scale(summed)
        return list(torch.autograd.grad(scaled, self.parameters, retain_graph=retain_graph, allow_unused=True))

    @contextmanager
    def away_from(self, origin: list[Tensor]) -> Iterator[None]:
        """Bring the parameters back, whatever moves them or fails."""
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, origin)

    def origin(self) -> list[Tensor]:
        """Copy w."""
        return [parameter.detach().clone() for parameter in self.parameters]


def _climbed(
    passes: _Passes, rows: Sequence[_Row], shares: Tensor, batchnorm: Literal["clean", "all"]
) -> tuple[Tensor, Gradient]:
    """Let each group climb its own gradient; loss at w and perturbed gradient."""
    losses = passes.losses()
    loss = (shares.to(losses.dtype) * losses).sum().detach()
    # Every gradient at w is taken before w is touched.
    at_w = [passes.gradient(row.weights, losses, retain_graph=k + 1 < len(rows)) for k, row in enumerate(rows)]
    total: Gradient = [None] * len(passes.parameters)
    origin = passes.origin() if any(row.radius for row in rows) else []
    for row, direction in zip(rows, at_w, strict=True):
        if row.radius == 0:
            total = _add(total, direction)
            continue
        statistics = frozen_statistics(passes.model) if batchnorm == "clean" else nullcontext()
        with passes.away_from(origin), statistics:
            climb(passes.parameters, direction, row.radius)
            total = _add(total, passes.gradient(row.weights, passes.losses()))
    return loss, total


def _shaken(
    passes: _Passes, rows: Sequence[_Row], shares: Tensor, table: GroupTable, generator: torch.Generator | None
) -> tuple[Tensor, Gradient]:
    """Shake the weights for each part of the batch and each group; loss and gradient at the noisy weights."""
    shake = {"isotropic": shake_alike, "filter": shake_filters}[table.direction]
    total: Gradient = [None] * len(passes.parameters)
    loss = torch.zeros((), dtype=shares.dtype, device=shares.device)
    origin = passes.origin()
    for indices in torch.arange(len(shares)).tensor_split(min(table.parts, len(shares))):
        part = slice(int(indices[0]), int(indices[-1]) + 1)
        for row in rows:
            with passes.away_from(origin):
                shake(passes.parameters, row.radius, generator)
                losses = passes.losses(part)
                loss += (shares * row.own)[part] @ losses.detach().to(shares.dtype)
                total = _add(total, passes.gradient(row.weights[part], losses))
    return loss, total


def _add(total: Gradient, more: Gradient) -> Gradient:
    """Add two gradients, parameter by parameter."""
    return [b if a is None else a if b is None else a + b for a, b in zip(total, more, strict=True)]
