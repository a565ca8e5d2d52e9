"""The one engine: g = sum over groups k of grad L_k(w + eps_k), with the fewest passes that compute it exactly."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.gradients import add, sum_over
from ltzoo.sharpness.misuse import check_batch, check_model, check_options, check_processes
from ltzoo.sharpness.moves import Gradient, climb, shake_alike, shake_filters
from ltzoo.sharpness.passes import Passes, parts_of, pieces_of
from ltzoo.sharpness.rows import Row, fill_rows
from ltzoo.sharpness.table import GroupTable

Ascent = Literal["averaged", "local", "micro_batch"]


def perturbed_backward(
    model: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    table: GroupTable,
    *,
    class_weights: Tensor | None = None,
    target_weights: Tensor | None = None,
    forward: Callable[[Tensor], Tensor] | None = None,
    batchnorm: Literal["clean", "all"] = "clean",
    scaler: GradScaler | None = None,
    generator: torch.Generator | None = None,
    ascent: Ascent = "averaged",
    micro_batches: int = 1,
    process_group: dist.ProcessGroup | None = None,
    radii: Tensor | None = None,
) -> Tensor:
    """Add the perturbed gradient to `.grad`, as `loss.backward()` adds the plain one; a step of any optimizer follows.

    With u_i = w[y_i] / (sum over the batch of w[y]), the loss of group k is L_k = sum over its images of u_i * loss_i,
    so that the groups add up to the (weighted) mean loss, and eps_k = rho_k * grad L_k(w) / norm(grad L_k(w)), the norm
    taken over all parameters together. SAM, ImbSAM and SSE-SAM are rows of `table` (Rangwani 2022; Lyu 2025). A table
    can also divide each loss by its group's own images or multiply it by a factor, and it can take Gaussian noise for
    eps_k, which is then drawn anew for each part of the batch.
    A mixed image (mixup, cutmix) has M labels of weights t, and a loss for each, which belongs to the group of that
    label: u_im = t_im * w[y_im] / (sum over the batch of t * w[y]).
    The groups share one forward pass at w; groups that stay at w share one backward pass too.
    In several processes the batch is all of theirs together, and every process ends with the same gradient.
    Called twice before a step, it adds up, as `loss.backward()` does.
    The weights are bit for bit as before when this returns or raises, and their storage is not moved.

    Args:
        model: the module whose trainable parameters are perturbed. DistributedDataParallel is looked through: its
            processes take part, its own reduction is not used.
        criterion: (logits, targets) to one loss an image, (B,). Logits in half precision reach it as float32. For mixed
            images it is called once for each column of the targets, with the logits of one forward pass.
        images: (B, ...) whatever `forward` takes.
        targets: (B,) int64 classes, on the device of `table.members`; (B, M) where images are mixed.
        table: groups and radii.
        class_weights: (C,) weights w of the classes, or None for 1 each.
        target_weights: (B, M) floating-point weights t of the labels, not below 0, on the targets' device; needed with
            (B, M) targets, and only there.
        forward: images to logits; `model` itself unless given (a compiled or an autocast wrapper of it, say).
        batchnorm: "clean" lets only the pass at w into the running statistics, "all" every pass (as the papers' code).
            Noise has no pass at w and wants "all".
        scaler: scales the losses in float16; `.grad` is then scaled too, as `scaler.step` expects it. Where any pass
            overflows, `.grad` is not finite, so that the scaler skips the step, and the running statistics stay.
        generator: of the noise, on the parameters' device; torch's own if None. Processes that share the batch and its
            noise ("averaged") must be given one, seeded alike.
        ascent: whose gradient a group climbs: "averaged", that of the whole batch, so that N processes do what one
            would do with all the images; "local", each process that of its own images; "micro_batch", each micro-batch
            its own.
        micro_batches: forward and backward run over so many parts of the batch, one after the other, for a batch whose
            activations are too large for the memory; fewer where the batch has fewer images. But for BatchNorm and
            dropout, which see the parts, "averaged" and "local" give what one part gives.
        process_group: processes that share the batch, for a model that is not wrapped.
        radii: (K,) values for the table's radii, on the device, so that a captured step can follow a schedule; the
            table still says which groups move. None for the table's own.

    Returns:
        The (weighted) mean loss over all processes, at w or, where the direction is noise, at the noisy weights: a
        detached scalar.

    Raises:
        ValueError: the batch does not fit the table, `criterion` reduced the loss, an option does not suit another,
            float16 has no scaler, gradients are off, or the model is sharded; the message says what to do. Weights and
            `.grad` are as before; running statistics may have seen the batch.
    """
    if isinstance(model, DistributedDataParallel):
        model, process_group = model.module, cast(dist.ProcessGroup, model.process_group)
    check_model(model, forward)
    check_batch(images, targets, table, class_weights, target_weights)
    check_options(table, batchnorm, ascent, micro_batches, radii)
    if process_group is not None:
        check_processes(model, table, ascent, generator, len(targets), micro_batches)
    passes = Passes(model, criterion, forward or model, images, targets, table, scaler)
    shares, rows = fill_rows(table, radii, targets, class_weights, target_weights, passes.dtype, process_group)
    as_before = passes.statistics.copy() if scaler is not None else []
    pieces = pieces_of(slice(0, len(targets)), micro_batches)
    if table.direction != "gradient":
        loss, total = _shaken(passes, rows, shares, micro_batches, generator)
    elif ascent == "micro_batch":
        loss, total = _climbed(passes, rows, shares, pieces[:1], batchnorm)
        for piece in pieces[1:]:
            more_loss, more = _climbed(passes, rows, shares, [piece], batchnorm)
            loss, total = loss + more_loss, add(total, more)
    else:
        climbing_together = process_group if ascent == "averaged" else None
        loss, total = _climbed(passes, rows, shares, pieces, batchnorm, climbing_together)
    if process_group is not None:
        sum_over(process_group, [total], passes.parameters, loss)
    found = [gradient for gradient in total if gradient is not None]
    if as_before and found:
        passes.statistics.put_back_where(~nn.utils.get_total_norm(found, float("inf")).isfinite(), as_before)
    for parameter, added in zip(passes.parameters, total, strict=True):
        if added is not None:
            parameter.grad = added if parameter.grad is None else parameter.grad + added
    return loss


def _climbed(
    passes: Passes,
    rows: Sequence[Row],
    shares: Tensor,
    pieces: Sequence[slice],
    batchnorm: str,
    group: dist.ProcessGroup | None = None,
) -> tuple[Tensor, Gradient]:
    """Let each group climb its own gradient over all pieces; loss at w and perturbed gradient."""
    # Every gradient at w is taken before w is touched. A gradient that has been climbed is given up at once: beside w
    # and one gradient, this holds a copy of w, and one gradient for each further group.
    at_w: list[Gradient] = [[None] * len(passes.parameters) for _ in rows]
    loss = torch.zeros((), dtype=shares.dtype, device=shares.device)
    for piece in pieces:
        losses = passes.losses(piece)
        loss += (shares[piece] * losses.detach()).sum()
        for k, row in enumerate(rows):
            at_w[k] = add(at_w[k], passes.gradient(row.weights[piece], losses, retain_graph=k + 1 < len(rows)))
    moving = [at_w[k] for k, row in enumerate(rows) if row.moves]
    if group is not None and moving:
        sum_over(group, moving, passes.parameters)
    origin = passes.origin() if moving else []
    total: Gradient = [None] * len(passes.parameters)
    del moving, losses
    for row in rows:
        if not row.moves:
            total = add(total, at_w.pop(0))
            continue
        frozen = passes.statistics.frozen() if batchnorm == "clean" else nullcontext()
        with passes.away_from(origin), frozen:
            climb(passes.parameters, at_w.pop(0), row.radius)
            for piece in pieces:
                total = add(total, passes.gradient(row.weights[piece], passes.losses(piece)))
    return loss, total


def _shaken(
    passes: Passes, rows: Sequence[Row], shares: Tensor, micro_batches: int, generator: torch.Generator | None
) -> tuple[Tensor, Gradient]:
    """Shake the weights for each part of the batch and each group; loss and gradient at the noisy weights."""
    table = passes.table
    shake = {"isotropic": shake_alike, "filter": shake_filters}[table.direction]
    total: Gradient = [None] * len(passes.parameters)
    loss = torch.zeros((), dtype=shares.dtype, device=shares.device)
    origin = passes.origin()
    for part in parts_of(slice(0, len(shares)), table.parts):
        for row in rows:
            with passes.away_from(origin):
                # Drawn for a part without images too, so that processes stay in step.
                shake(passes.parameters, float(row.radius), generator)
                for piece in pieces_of(part, -(-micro_batches // table.parts)) if part.start < part.stop else []:
                    losses = passes.losses(piece)
                    loss += ((shares * row.own)[piece] * losses.detach()).sum()
                    total = add(total, passes.gradient(row.weights[piece], losses))
    return loss, total
