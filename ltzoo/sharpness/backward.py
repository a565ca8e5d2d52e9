"""The step: the gradient of every row of a table, with the fewest forward and backward passes that give it exactly."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.ascent import Gradient, add_filter_noise, add_isotropic_noise, gradient_ascent
from ltzoo.sharpness.checks import (
    check_batch,
    check_criterion,
    check_graph,
    check_losses,
    check_model,
    check_options,
    check_outputs,
    check_parameters,
    check_processes,
)
from ltzoo.sharpness.gradients import add, sum_over_processes, with_own_memory
from ltzoo.sharpness.options import MixedTargets, StepOptions
from ltzoo.sharpness.running_statistics import RunningStatistics, restore_where
from ltzoo.sharpness.table import BatchRow, Scope, Table, weigh_batch


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
    2025); eps can be Gaussian noise instead, drawn anew for each part of the batch.
    A mixed image (mixup, CutMix) has M labels with weights t and one loss per label: u_im = t_im * w[y_im] / (sum over
    the batch of t * w[y]).
    All rows share one forward pass at w; all rows that stay at w share one backward pass too.
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
        class_weights: (C,) weights w of the classes, or None for 1 each.
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
    check_criterion(criterion, table, options)
    group = options.process_group
    if group is not None:
        check_processes(model, table, options, len(targets))
    passes = _Passes(model, criterion, images, targets, table, options)
    mean, still, moving = weigh_batch(table, passes.classes, passes.label_weights, class_weights, passes.dtype, group)
    before = passes.statistics.copy() if options.scaler is not None else []
    pieces = _micro_batches(slice(0, len(targets)), options.micro_batches)
    if table.direction != "gradient":
        loss, total = _with_noise(passes, moving, mean)
    elif options.ascent == "micro_batch":
        loss, total = _with_ascent(passes, still, moving, mean, pieces[:1])
        for piece in pieces[1:]:
            more_loss, more = _with_ascent(passes, still, moving, mean, [piece])
            loss, total = loss + more_loss, add(total, more)
    else:
        loss, total = _with_ascent(passes, still, moving, mean, pieces, group if options.ascent == "averaged" else None)
    if group is not None:
        sum_over_processes(group, [total], [passes.parameters], loss)
    found = [gradient for gradient in total if gradient is not None]
    failed = ~nn.utils.get_total_norm(found, float("inf")).isfinite() if options.scaler is not None and found else None
    if failed is not None:
        restore_where(failed, passes.statistics.buffers, before)
    passes.commit(failed)
    for parameter, added in zip(passes.parameters, total, strict=True):
        if added is not None:
            parameter.grad = added if parameter.grad is None else parameter.grad + added
    return loss


def _with_ascent(
    passes: "_Passes",
    still: Tensor | None,
    moving: Sequence[BatchRow],
    mean: Tensor,
    pieces: Sequence[slice],
    group: dist.ProcessGroup | None = None,
) -> tuple[Tensor, Gradient]:
    """Let each moving row ascend its gradient over all pieces; loss at w, and the sum of the rows' gradients."""
    # All gradients at w are computed before w is changed. A gradient is released as soon as its row has ascended it:
    # beside w and one gradient, this holds a copy of w, and one gradient for each further row.
    everything = passes.parameters
    at_w = [] if still is None else [(still, everything)]
    at_w += [(row.ascent, passes.scope(row.scope)) for row in moving]
    gradients: list[Gradient] = [[None] * len(parameters) for _, parameters in at_w]
    loss = torch.zeros((), dtype=mean.dtype, device=mean.device)
    for piece in pieces:
        losses = passes.losses(piece, keep=True)
        loss += (mean[piece] * losses.detach()).sum()
        for k, (weights, parameters) in enumerate(at_w):
            retain_graph = k + 1 < len(at_w)
            gradients[k] = add(gradients[k], passes.gradient(weights[piece], losses, parameters, retain_graph))
        del losses
    total: Gradient = [None] * len(everything) if still is None else gradients.pop(0)
    if group is not None and gradients:
        sum_over_processes(group, gradients, [passes.scope(row.scope) for row in moving])
    saved = passes.save(moving)
    for row in moving:
        frozen = passes.statistics.frozen() if passes.options.batchnorm == "clean" else nullcontext()
        with passes.restoring(saved), frozen:
            gradient_ascent(passes.scope(row.scope), gradients.pop(0), row.radius)
            for piece in pieces:
                total = add(total, passes.gradient(row.descent[piece], passes.losses(piece), everything))
    return loss, total


def _with_noise(passes: "_Passes", moving: Sequence[BatchRow], mean: Tensor) -> tuple[Tensor, Gradient]:
    """Add noise to the weights for each part of the batch and each row; loss and gradient at the noisy weights."""
    table, options = passes.table, passes.options
    add_noise = {"isotropic": add_isotropic_noise, "filter": add_filter_noise}[table.direction]
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


class _Passes:
    """Forward and backward passes over one batch, at w and at perturbed weights. Pieces of the batch are slices of it.

    Args:
        model: see `perturbed_backward`.
        criterion: see `perturbed_backward`.
        images: see `perturbed_backward`.
        targets: see `perturbed_backward`.
        table: see `perturbed_backward`.
        options: see `perturbed_backward`.

    Raises:
        ValueError: no parameter is trainable, some are in float16, or the model has no classifier to move.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[[Any, Tensor], Tensor],
        images: Tensor,
        targets: Tensor | MixedTargets,
        table: Table,
        options: StepOptions,
    ) -> None:
        self.criterion, self.forward = criterion, options.forward or model
        self.images, self.table, self.options = images, table, options
        self.classes = targets.classes if isinstance(targets, MixedTargets) else targets
        self.label_weights = targets.weights if isinstance(targets, MixedTargets) else None
        modules = [module for module in (model, criterion) if isinstance(module, nn.Module)]
        self.statistics = RunningStatistics(*modules)
        # A criterion may hold a parameter of the model's, such as its classifier.
        every = dict.fromkeys(parameter for module in modules for parameter in module.parameters())
        self.parameters: list[Tensor] = [parameter for parameter in every if parameter.requires_grad]
        check_parameters(self.parameters)
        self.classifier = _classifier(model) if any(row.scope == "classifier" for row in table.rows) else []
        self.dtype = torch.promote_types(torch.float32, self.parameters[0].dtype)
        self.to_commit: list[tuple[Any, Tensor | MixedTargets]] = []

    def scope(self, scope: Scope) -> list[Tensor]:
        """Return the parameters that a row moves."""
        return self.parameters if scope == "all" else self.classifier

    def losses(self, piece: slice, keep: bool = False) -> Tensor:
        """Run a forward pass on a piece; one loss for each of its labels, from outputs in float32 at least.

        Args:
            piece: of the batch.
            keep: whether the criterion may commit these outputs.
        """
        # With autocast around the step, it would take its casts of the weights as they were before.
        torch.clear_autocast_cache()
        outputs = self.forward(self.images[piece])
        check_outputs(outputs, self.table, self.options.scaler, self.criterion)
        if isinstance(outputs, Tensor):
            outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
        elif hasattr(outputs, "logits"):
            outputs = outputs.float()
        asks = getattr(self.criterion, "asks", None)
        given = outputs.logits if asks is not None and not asks and hasattr(outputs, "logits") else outputs
        classes = self.classes[piece]
        # Copied, so that a criterion gets columns that are contiguous, as (B,) targets are.
        columns = [classes] if self.label_weights is None else classes.T.contiguous().unbind()
        losses = [self.criterion(given, column) for column in columns]
        for column, found in zip(columns, losses, strict=True):
            check_losses(found, column, self.criterion)
        if keep and hasattr(self.criterion, "commit"):
            weights = self.label_weights
            targets = classes if weights is None else MixedTargets(classes, weights[piece])
            self.to_commit.append((given.detach(), targets))
        return losses[0] if self.label_weights is None else torch.stack(losses, dim=1)

    def gradient(
        self, weights: Tensor, losses: Tensor, parameters: Sequence[Tensor], retain_graph: bool = False
    ) -> Gradient:
        """Differentiate the weighted sum of the losses by some of the parameters."""
        summed = (weights.to(losses.dtype) * losses).sum()
        scaled = summed if self.options.scaler is None else self.options.scaler.scale(summed)
        with self.statistics.restored_afterwards():
            found = torch.autograd.grad(scaled, parameters, retain_graph=retain_graph, allow_unused=True)
        if any(gradient is None for gradient in found):
            check_graph(losses)
        with torch.no_grad():
            return with_own_memory(found, parameters)

    def save(self, rows: Sequence[BatchRow]) -> list[tuple[Tensor, Tensor]]:
        """Pair each parameter that rows move with a copy of it."""
        moved = dict.fromkeys(parameter for row in rows for parameter in self.scope(row.scope))
        return [(parameter, parameter.detach().clone()) for parameter in moved]

    @contextmanager
    def restoring(self, saved: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
        """Restore the parameters at the end, also if a pass fails."""
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_([parameter for parameter, _ in saved], [copy for _, copy in saved])
            torch.clear_autocast_cache()

    @torch.no_grad()
    def commit(self, failed: Tensor | None) -> None:
        """Let the criterion update its state, once for each piece; undo this, in its buffers, where the step failed."""
        if not self.to_commit:
            return
        criterion: Any = self.criterion
        undoes = failed is not None and isinstance(criterion, nn.Module)
        before = {name: buffer.clone() for name, buffer in criterion.named_buffers()} if undoes else {}
        for outputs, targets in self.to_commit:
            criterion.commit(outputs, targets)
        if failed is not None and before:
            after = dict(criterion.named_buffers())
            restore_where(failed, [after[name] for name in before], list(before.values()))


def _classifier(model: nn.Module) -> list[Tensor]:
    """Return the trainable parameters of a model's classifier.

    Raises:
        ValueError: the model has none.
    """
    find = getattr(model, "get_classifier", None)
    found = find() if callable(find) else None
    heads = found if isinstance(found, tuple | list) else [found]
    parameters = [p for head in heads if isinstance(head, nn.Module) for p in head.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "the table moves the classifier alone, and the model has none that is trainable: it needs a method "
            "get_classifier(), as timm's models have, that returns a module with parameters"
        )
    return list(dict.fromkeys(parameters))


def _parts(whole: slice, parts: int) -> list[slice]:
    """Cut a slice of the batch into parts of equal size, or one image more; the last are empty if there are too few."""
    size = whole.stop - whole.start
    bounds = [whole.start + size // parts * k + min(k, size % parts) for k in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def _micro_batches(whole: slice, micro_batches: int) -> list[slice]:
    """Cut a slice of the batch into this many micro-batches, or as many as it has images."""
    return _parts(whole, max(1, min(micro_batches, whole.stop - whole.start)))
