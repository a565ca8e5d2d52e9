"""Forward and backward passes over one batch, at w and beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ltzoo.sharpness.batchnorm import RunningStatistics
from ltzoo.sharpness.gradients import own
from ltzoo.sharpness.misuse import check_graph, check_logits, check_losses, check_parameters
from ltzoo.sharpness.moves import Gradient
from ltzoo.sharpness.table import GroupTable


class Passes:
    """The passes of one step. Parts of the batch are slices of it.

    Args:
        model: the module whose trainable parameters are differentiated.
        criterion: (logits, targets) to one loss an image.
        forward: images to logits.
        images: (B, ...).
        targets: (B,) int64, or (B, M), M labels an image.
        table: groups and radii.
        scaler: scales the losses, in float16.

    Raises:
        ValueError: no parameter is trainable, or some are in float16.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[[Tensor, Tensor], Tensor],
        forward: Callable[[Tensor], Tensor],
        images: Tensor,
        targets: Tensor,
        table: GroupTable,
        scaler: GradScaler | None,
    ) -> None:
        self.criterion, self.forward = criterion, forward
        self.images, self.targets, self.table, self.scaler = images, targets, table, scaler
        self.statistics = RunningStatistics(model)
        self.parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
        check_parameters(self.parameters)
        self.dtype = torch.promote_types(torch.float32, self.parameters[0].dtype)

    def losses(self, part: slice) -> Tensor:
        """Run the images of a part; one loss for each of their labels, from logits in float32 at least."""
        # Within an autocast of the user's, the casts of the weights as they were would be taken again.
        torch.clear_autocast_cache()
        logits = self.forward(self.images[part])
        check_logits(logits, self.table, self.scaler)
        if isinstance(logits, Tensor) and logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        targets = self.targets[part]
        # Copied, so that a criterion gets columns that lie in memory as (B,) targets do.
        columns = [targets] if targets.ndim == 1 else targets.T.contiguous().unbind()
        losses = [self.criterion(logits, column) for column in columns]
        for column, found in zip(columns, losses, strict=True):
            check_losses(found, column, self.criterion)
        return losses[0] if targets.ndim == 1 else torch.stack(losses, dim=1)

    def gradient(self, weights: Tensor, losses: Tensor, retain_graph: bool = False) -> Gradient:
        """Differentiate the weighted sum of the losses."""
        summed = (weights.to(losses.dtype) * losses).sum()
        scaled = summed if self.scaler is None else self.scaler.scale(summed)
        with self.statistics.held():
            found = torch.autograd.grad(scaled, self.parameters, retain_graph=retain_graph, allow_unused=True)
        if any(gradient is None for gradient in found):
            check_graph(losses)
        with torch.no_grad():
            return own(found, self.parameters)

    def origin(self) -> list[Tensor]:
        """Copy w."""
        return [parameter.detach().clone() for parameter in self.parameters]

    @contextmanager
    def away_from(self, origin: Sequence[Tensor]) -> Iterator[None]:
        """Bring the parameters back, whatever moves them or fails."""
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, list(origin))
            torch.clear_autocast_cache()


def parts_of(whole: slice, parts: int) -> list[slice]:
    """Cut a part of the batch into so many parts, as equal as can be; the last are empty where it has fewer images."""
    size = whole.stop - whole.start
    bounds = [whole.start + size // parts * k + min(k, size % parts) for k in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def pieces_of(whole: slice, micro_batches: int) -> list[slice]:
    """Cut a part of the batch into so many micro-batches, or as many as it has images."""
    return parts_of(whole, max(1, min(micro_batches, whole.stop - whole.start)))
