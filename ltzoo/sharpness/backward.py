"""The step: the gradient of every row of a table, with the fewest forward and backward passes that give it exactly."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.ascent import (
    Gradient,
    add_clamped_noise,
    add_eps,
    add_filter_noise,
    add_isotropic_noise,
)
from ltzoo.sharpness.batch import BatchRow, rows_in_batch, weigh_batch
from ltzoo.sharpness.checks import (
    check_batch,
    check_classifier_rows,
    check_criterion,
    check_model,
    check_options,
    check_processes,
)
from ltzoo.sharpness.gradients import add, subtract_orthogonal, sum_over_processes
from ltzoo.sharpness.options import MixedTargets, StepOptions
from ltzoo.sharpness.passes import Passes
from ltzoo.sharpness.running_statistics import restore_where
from ltzoo.sharpness.table import Table


def perturbed_backward(
    model: nn.Module,
    criterion: Callable[[Any, Tensor], Tensor],
    images: Tensor,
    targets: Tensor | MixedTargets,
    table: Table,
    class_weights: Tensor | None = None,
    options: StepOptions = StepOptions(),  # noqa: B008 (frozen)
) -> Tensor:
    """Add the perturbed gradient to `.grad`, as `loss.backward()` adds the plain one; any optimizer's step follows.

    With class weights w, image i counts u_i = w[y_i] / (sum over the batch of w[y]), so that the sum of u_i * loss_i is
    the (weighted) mean loss. A row of the table with class weights a (ascent) and d (descent) and radius rho adds the
    gradient of the sum of d[y_i] * u_i * loss_i at w + eps, where eps = rho * g / norm(g) and g is the gradient at w of
    the sum of a[y_i] * u_i * loss_i. SAM, ImbSAM, SSE-SAM and Focal-SAM are such tables (Rangwani 2022; Lyu 2025; Li
    2025). A row's `move` can compute eps from g in another way (ASAM, CC-SAM); eps can be Gaussian noise instead, drawn
    anew for each part of the batch (PGD, LPF-SGD, GNM).
    A mixed image (mixup, CutMix) has M labels with weights t and one loss per label: u_im = t_im * w[y_im] / (sum over
    the batch of t * w[y]).
    All rows share one forward pass at w; all rows that stay at w share one backward pass too, and so do rows that move
    the classifier alone, where the logits are what it returns.
    The trainable parameters of the criterion, if it is a module, are perturbed and differentiated with the model's.
    With several processes the batch is all of theirs together, and every process ends with the same gradient.
    Called several times before a step, it accumulates, as `loss.backward()` does.
    When this returns or raises, the weights are bit for bit as before, and their storage has not moved.

    Args:
        model: the module whose trainable parameters are perturbed. A DistributedDataParallel wrapper is unwrapped: its
            processes take part, its own reduction is not used.
        criterion: (outputs, targets) to one loss per image, (B,). It gets what `forward` returned, in float32 if that
            was half precision: the logits, or an object with `.logits` (`ltzoo.losses.Outputs`). For mixed images it is
            called once for each column of the targets, with the outputs of one forward pass. If it has a method
            `commit`, this is called once per step (per micro-batch, or per part of the batch with noise) after all
            passes, with the detached outputs at w (with noise: of the first pass) and the targets.
        images: (B, ...) whatever `forward` takes.
        targets: (B,) int64 classes, on the table's device; `MixedTargets` if images are mixed.
        table: the rows.
        class_weights: (C,) weights w of the classes, not below 0, on the table's device, or None for 1 each.
        options: precision, BatchNorm, accumulation and processes, see `StepOptions`.

    Returns:
        The (weighted) mean loss over all processes, at w or, with noise, at the noisy weights: a detached scalar.

    Raises:
        ValueError: the batch does not fit the table, the criterion reduced the loss, an option does not fit another,
            float16 has no scaler, gradients are disabled, or the model is sharded; the message says what to do. Weights
            and `.grad` are as before; running statistics may have been updated.
    """
    if isinstance(model, DistributedDataParallel):
        options = replace(options, process_group=model.process_group)
        model = model.module
    check_model(model, options.forward)
    check_batch(images, targets, table, class_weights)
    check_options(table, options)
    check_criterion(criterion, targets, table, options)
    group = options.process_group
    if group is not None:
        check_processes(model, table, options, len(targets))
    passes = Passes(model, criterion, images, targets, table, options)
    mean, still, moving = weigh_batch(table, passes.classes, passes.label_weights, class_weights, passes.dtype, group)
    before = passes.statistics.copy() if options.scaler is not None else []
    pieces = _micro_batches(slice(0, len(targets)), options.micro_batches)
    ascended: Gradient | None = None
    if table.direction != "gradient":
        loss, total = _with_noise(passes, moving, mean)
    elif options.ascent == "averaged":
        loss, total, ascended = _with_ascent(passes, still, moving, mean, pieces, group)
    else:
        loss, total = _with_own_ascents(passes, still, moving, mean, pieces)
    if group is not None:
        sum_over_processes(group, [total], [passes.parameters], loss)
    if ascended is not None:
        total = subtract_orthogonal(total, ascended, table.gap_weight)
    found = [gradient for gradient in total if gradient is not None]
    failed = ~nn.utils.get_total_norm(found, float("inf")).isfinite() if options.scaler is not None and found else None
    if failed is not None:
        restore_where(failed, passes.statistics.buffers, before)
    passes.commit(failed)
    with torch.no_grad():
        for parameter, added in zip(passes.parameters, total, strict=True):
            if added is not None and parameter.grad is not None:
                parameter.grad.add_(added)
            elif added is not None:
                parameter.grad = added
    return loss


def _with_own_ascents(
    passes: Passes, still: Tensor | None, moving: Sequence[BatchRow], mean: Tensor, pieces: Sequence[slice]
) -> tuple[Tensor, Gradient]:
    """Let the rows ascend the gradients of this process, or of each micro-batch, by itself; loss and gradient."""
    loss = torch.zeros((), dtype=mean.dtype, device=mean.device)
    total: Gradient = [None] * len(passes.parameters)
    for alone in [[piece] for piece in pieces] if passes.options.ascent == "micro_batch" else [pieces]:
        more_loss, more, ascended = _with_ascent(passes, still, moving, mean, alone)
        if ascended is not None:
            more = subtract_orthogonal(more, ascended, passes.table.gap_weight)
        loss, total = loss + more_loss, add(total, more)
    return loss, total


def _with_ascent(
    passes: Passes,
    still: Tensor | None,
    moving: Sequence[BatchRow],
    mean: Tensor,
    pieces: Sequence[slice],
    group: dist.ProcessGroup | None = None,
) -> tuple[Tensor, Gradient, Gradient | None]:
    """Let each moving row ascend its gradient over all pieces.

    Returns:
        The loss at w, the sum of the rows' gradients, and, for a gap weight, the sum of the gradients they ascended.
    """
    # All gradients at w are computed before w is changed. A gradient is released as soon as its row has ascended it:
    # beside w and one gradient, this holds a copy of w, and one gradient for each further row.
    everything = passes.parameters
    total: Gradient = [None] * len(everything)
    gradients: list[Gradient] = [[None] * len(passes.scope(row.scope)) for row in moving]
    counted = mean.new_zeros(len(moving))
    shares_features = False
    loss = torch.zeros((), dtype=mean.dtype, device=mean.device)
    for piece in pieces:
        losses = passes.losses(piece, keep=True)
        loss += (mean[piece] * losses.detach()).sum()
        # The graph is kept until the rows have ascended only if it is that of the whole batch.
        shares_features = passes.has_features and len(pieces) == 1
        # Over processes that ascend together, a class may be in the batch of another one.
        if shares_features and group is None and not _is_captured(mean):
            moving = rows_in_batch(moving)
            gradients = [[None] * len(passes.scope(row.scope)) for row in moving]
            counted = mean.new_zeros(len(moving))
        check_classifier_rows(moving)
        if still is not None and not shares_features:
            total = add(total, passes.gradient(still[piece], losses, everything, bool(moving)))
        for k, row in enumerate(moving):
            scope, retain_graph = passes.scope(row.scope), shares_features or k + 1 < len(moving)
            gradients[k] = add(gradients[k], passes.gradient(row.ascent[piece], losses, scope, retain_graph))
            counted[k] += row.ascent[piece].sum()
        if not shares_features:
            passes.forget_features()
            del losses
    if group is not None and gradients:
        sum_over_processes(group, gradients, [passes.scope(row.scope) for row in moving], counted)
    ascending = list(zip(moving, gradients, counted, strict=True))
    del gradients
    if shares_features:
        of_classifier = [entry for entry in ascending if entry[0].scope == "classifier"]
        ascending = [entry for entry in ascending if entry[0].scope != "classifier"]
        total = passes.gradient_from_features(pieces[0], losses, still, of_classifier)
        del losses, of_classifier
    saved = passes.save([row for row, _, _ in ascending])
    ascended: Gradient | None = [None] * len(everything) if passes.table.gap_weight and ascending else None
    while ascending:
        row, gradient, weight = ascending.pop(0)
        if ascended is not None:
            ascended = add(ascended, [None if g is None else g.clone() for g in gradient])
        frozen = passes.statistics.frozen() if passes.options.batchnorm == "clean" else nullcontext()
        with passes.restoring(saved), frozen:
            add_eps(passes.scope(row.scope), passes.eps(row, gradient, weight))
            del gradient
            for piece in pieces:
                total = add(total, passes.gradient(row.descent[piece], passes.losses(piece), everything))
    return loss, total, ascended


def _is_captured(value: Tensor) -> bool:
    """Return whether a CUDA graph is being captured, in which the host cannot read from the device."""
    return value.is_cuda and torch.cuda.is_current_stream_capturing()


def _with_noise(passes: Passes, moving: Sequence[BatchRow], mean: Tensor) -> tuple[Tensor, Gradient]:
    """Add noise to the weights for each part of the batch and each row; loss and gradient at the noisy weights."""
    table, options = passes.table, passes.options
    add_noise = _NOISE[table.direction]
    total: Gradient = [None] * len(passes.parameters)
    loss = torch.zeros((), dtype=mean.dtype, device=mean.device)
    saved = passes.save(moving)
    for part in _parts(slice(0, len(mean)), table.parts):
        has_images = part.start < part.stop
        for k, row in enumerate(moving):
            with passes.restoring(saved):
                # Noise is drawn for a part without images too, so that all processes draw the same.
                add_noise(passes.scope(row.scope), float(row.radius), options.generator)
                for piece in _micro_batches(part, -(-options.micro_batches // table.parts)) if has_images else []:
                    losses = passes.losses(piece, keep=k == 0)
                    loss += ((mean * row.share)[piece] * losses.detach()).sum()
                    total = add(total, passes.gradient(row.descent[piece], losses, passes.parameters))
    return loss, total


_NOISE = {"isotropic": add_isotropic_noise, "filter": add_filter_noise, "clamped": add_clamped_noise}
"""What adds the noise of each direction."""


def _parts(whole: slice, parts: int) -> list[slice]:
    """Cut a slice of the batch into parts of equal size, or one image more; the last are empty if there are too few."""
    size = whole.stop - whole.start
    bounds = [whole.start + size // parts * k + min(k, size % parts) for k in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def _micro_batches(whole: slice, micro_batches: int) -> list[slice]:
    """Cut a slice of the batch into this many micro-batches, or as many as it has images."""
    return _parts(whole, max(1, min(micro_batches, whole.stop - whole.start)))
