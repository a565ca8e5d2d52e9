"""Per-label weights of each row's losses in one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ltzoo.sharpness.ascent import Move
from ltzoo.sharpness.table import Row, Scope, Table


@dataclass(frozen=True, eq=False)
class BatchRow:
    """A row within one batch.

    Attributes:
        ascent: what each label's loss counts in the loss that is ascended; shaped as the labels; unused with noise.
        descent: what each label's loss counts in the loss that is descended; shaped as the labels.
        share: the descent of each label's class; shaped as the labels.
        radius: how far the row moves.
        scope: see `Row.scope`.
        move: see `Row.move`.
    """

    ascent: Tensor
    descent: Tensor
    share: Tensor
    radius: float | Tensor
    scope: Scope
    move: Move


def weigh_batch(
    table: Table,
    classes: Tensor,
    label_weights: Tensor | None = None,
    class_weights: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    group: dist.ProcessGroup | None = None,
) -> tuple[Tensor, Tensor | None, list[BatchRow]]:
    """Compute what each label of a batch counts in the mean loss and in each row's losses.

    Args:
        table: the rows.
        classes: (B,), or (B, M) for M labels per image.
        label_weights: shaped as `classes`, or None for 1 each.
        class_weights: (C,), not below 0, on the targets' device, or None for 1 each.
        dtype: of the results.
        group: processes whose batches are one batch together.

    Returns:
        Three values. The weight of each label in the mean loss, shaped as `classes`; over all processes these add up to
        1. The weight of each label in the losses of all rows that stay at w, which need one backward pass together;
        None if every row moves. The rows that move, in the table's order.
    """
    counted = torch.ones_like(classes, dtype=dtype) if label_weights is None else label_weights.to(dtype)
    if class_weights is not None:
        counted = counted * class_weights[classes].to(dtype)
    shares = [row.descent[classes].to(dtype) for row in table.rows]
    other_ascents = [_other_ascent(table, row) for row in table.rows]
    columns = [*shares, *(ascent[classes].to(dtype) for ascent in other_ascents if ascent is not None)]
    by_column = [(counted * column).sum() for column in columns] if table.reduction == "group" else []
    sums = torch.stack([counted.sum(), *by_column])
    if group is not None:
        dist.all_reduce(sums, group=group)
    # Without images there is nothing to divide; the weights are 0.
    sums = torch.where(sums > 0, sums, 1.0)
    mean = counted / sums[0]
    if table.reduction == "batch":
        weights = [column * mean for column in columns]
    else:
        weights = [column * (counted / total) for column, total in zip(columns, sums[1:], strict=True)]
    descents, ascents = weights[: len(shares)], iter(weights[len(shares) :])
    still: Tensor | None = None
    moving = []
    for k, (row, share, descent) in enumerate(zip(table.rows, shares, descents, strict=True)):
        if table.direction == "gradient" and row.radius == 0:
            still = descent if still is None else still + descent
            continue
        ascent = descent if other_ascents[k] is None else next(ascents)
        radius = row.radius if table.device_radii is None else table.device_radii[k]
        moving.append(BatchRow(ascent, descent, share, radius, row.scope, row.move))
    return mean, still, moving


def rows_in_batch(rows: Sequence[BatchRow]) -> list[BatchRow]:
    """Leave out rows that move the classifier and descend no label of the batch; one of them at least stays.

    With a row for each class, most are of other classes than the batch's. Each would take a gradient and a moved copy
    of the classifier, and add nothing. The host waits for the device once.
    """
    own = [row for row in rows if row.scope == "classifier"]
    if not own:
        return list(rows)
    found = torch.stack([row.descent.flatten() for row in own]).any(dim=1).tolist()
    kept = {id(row) for row, has_labels in zip(own, found, strict=True) if has_labels} or {id(own[0])}
    return [row for row in rows if row.scope != "classifier" or id(row) in kept]


def _other_ascent(table: Table, row: Row) -> Tensor | None:
    """Return the class weights of a row's ascent; None if it has none, or the same as its descent."""
    ascends = table.direction == "gradient" and row.radius > 0
    return row.ascent if ascends and row.ascent is not row.descent else None
