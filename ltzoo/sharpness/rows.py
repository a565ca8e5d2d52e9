"""A table's rows within one batch: which labels are a group's own, and what each counts in its loss."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ltzoo.sharpness.table import GroupTable


@dataclass(frozen=True)
class Row:
    """A group within a batch.

    Attributes:
        own: bool, shaped as the targets: the labels that belong to it.
        weights: shaped as the targets: what each label's loss counts in the group's.
        moves: whether the group leaves w.
        radius: how far.
    """

    own: Tensor
    weights: Tensor
    moves: bool
    radius: float | Tensor


def fill_rows(
    table: GroupTable,
    radii: Tensor | None,
    targets: Tensor,
    class_weights: Tensor | None,
    target_weights: Tensor | None,
    dtype: torch.dtype,
    group: dist.ProcessGroup | None,
) -> tuple[Tensor, list[Row]]:
    """Share the batch's loss out among its labels and groups.

    Args:
        table: groups and radii.
        radii: (K,) what the radii are, where the table says only which of them are 0; None for the table's own.
        targets: (B,) classes, or (B, M), M labels an image.
        class_weights: (C,) or None for 1 each.
        target_weights: shaped as the targets, or None for 1 each.
        dtype: of the weights.
        group: processes whose batches are one.

    Returns:
        The share of each label in the mean loss, shaped as the targets and adding up to 1 over all processes; and the
        groups' rows, those that stay at w as one: what stays there needs a single backward pass.
    """
    masks = [members[targets] for members in table.members]
    counted = torch.ones_like(targets, dtype=dtype) if target_weights is None else target_weights.to(dtype)
    if class_weights is not None:
        counted = counted * class_weights[targets].to(dtype)
    by_group = [(counted * own).sum() for own in masks] if table.reduction == "group" else []
    sums = torch.stack([counted.sum(), *by_group])
    if group is not None:
        dist.all_reduce(sums, group=group)
    # Without images there is nothing to divide; the weights are 0.
    sums = sums.clamp_min(torch.finfo(dtype).tiny)
    shares = counted / sums[0]
    rows = []
    for k, (own, radius, factor) in enumerate(zip(masks, table.radii, table.factors, strict=True)):
        weights = factor * own * (shares if table.reduction == "batch" else counted / sums[1 + k])
        rows.append(Row(own, weights, radius > 0, radius if radii is None else radii[k]))
    still = [row for row in rows if not row.moves]
    if len(still) < 2:
        return shares, rows
    own, weights = (torch.stack(column) for column in zip(*((row.own, row.weights) for row in still), strict=True))
    merged = Row(own.any(dim=0), weights.sum(dim=0), False, 0.0)
    return shares, [merged, *(row for row in rows if row.moves)]
