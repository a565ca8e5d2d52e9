"""Forward and backward passes of a step over one batch, at w and at perturbed weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ltzoo.sharpness.ascent import Gradient
from ltzoo.sharpness.batch import BatchRow
from ltzoo.sharpness.checks import check_parameters
from ltzoo.sharpness.classifier import Classifier, names_of
from ltzoo.sharpness.gradients import with_own_memory
from ltzoo.sharpness.options import MixedTargets, StepOptions
from ltzoo.sharpness.output_checks import check_graph, check_losses, check_outputs
from ltzoo.sharpness.running_statistics import RunningStatistics, restore_where
from ltzoo.sharpness.table import Scope, Table


class Passes:
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
        self.names = names_of(modules, self.parameters)
        self.classifier = Classifier(model) if any(row.scope == "classifier" for row in table.rows) else None
        self.has_features = False
        """Whether the classifier alone can be run again after the last pass at w."""
        self.dtype = torch.promote_types(torch.float32, self.parameters[0].dtype)
        self.to_commit: list[tuple[Any, Tensor | MixedTargets]] = []

    def scope(self, scope: Scope) -> list[Tensor]:
        """Return the parameters that a row moves."""
        return self.parameters if scope == "all" or self.classifier is None else self.classifier.parameters

    def eps(self, row: BatchRow, gradient: Gradient, counted: Tensor) -> Gradient:
        """Compute a row's move.

        Args:
            row: the row.
            gradient: the gradient that it ascends; its memory is overwritten.
            counted: the sum of the weights in the row's ascent, over all images that the gradient is of.
        """
        scope, scaler = self.scope(row.scope), self.options.scaler
        found = [entry for entry in gradient if entry is not None]
        if row.move.of_mean and found:
            counted = torch.where(counted > 0, counted, 1.0)
            # `scale` multiplies on the device; `get_scale` would make the host wait.
            torch._foreach_div_(found, counted if scaler is None else scaler.scale(counted))
        names = dict(zip(self.parameters, self.names, strict=True))
        return row.move.eps(scope, [names[parameter] for parameter in scope], gradient, row.radius)

    def losses(self, piece: slice, keep: bool = False) -> Tensor:
        """Run a forward pass on a piece; one loss for each of its labels, from outputs in float32 at least.

        Args:
            piece: of the batch.
            keep: whether the criterion may commit these outputs.
        """
        # With autocast around the step, it would take its casts of the weights as they were before.
        torch.clear_autocast_cache()
        with self.classifier.recorded() if keep and self.classifier is not None else nullcontext():
            outputs = self.forward(self.images[piece])
        check_outputs(outputs, self.table, self.options.scaler, self.criterion)
        if keep and self.classifier is not None:
            # A loss that holds or reads the classifier's weights depends on their move not through the logits alone.
            own = set(self.criterion.parameters()) if isinstance(self.criterion, nn.Module) else set()
            apart = own.isdisjoint(self.classifier.parameters) and not getattr(self.criterion, "reads_model", False)
            self.has_features = self.classifier.returned_logits(outputs) and apart
        return self._losses_of(outputs, piece, keep)

    def _losses_of(self, outputs: Any, piece: slice, keep: bool = False) -> Tensor:
        """Compute the losses of a forward pass on a piece, see `losses`."""
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

    def forget_features(self) -> None:
        """Release the classifier's input, which no row needs."""
        if self.classifier is not None:
            self.classifier.forget()

    def gradient_from_features(
        self, piece: slice, losses: Tensor, still: Tensor | None, rows: Sequence[tuple[BatchRow, Gradient, Tensor]]
    ) -> Gradient:
        """Compute the gradient of the rows that stay and of those that move the classifier, in one backward pass.

        Args:
            piece: of the batch, the same as in the last call of `losses`.
            losses: what that call returned.
            still: weights of the labels in the rows that stay at w, if there are any.
            rows: rows that move the classifier alone, each with the gradient that it ascends and its sum, see `eps`.
        """
        assert self.classifier is not None
        terms = [] if still is None else [still[piece].to(losses.dtype) * losses]
        # Up to the backward pass: at its end it writes to buffers that the graph of the losses may refer to.
        with self.statistics.frozen() if self.options.batchnorm == "clean" else nullcontext():
            for row, gradient, counted in rows:
                moved = self._losses_of(self.classifier.repeat(self.eps(row, gradient, counted)), piece)
                terms.append(row.descent[piece].to(moved.dtype) * moved)
            self.forget_features()
            summed = torch.stack(terms).sum(dim=0)
            return self.gradient(torch.ones_like(summed), summed, self.parameters)

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
