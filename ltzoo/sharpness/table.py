"""The table that a step runs on: which losses move the weights, how far, and which losses the step descends there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ltzoo.sharpness.ascent import L2Move, Move

Direction = Literal["gradient", "isotropic", "filter", "clamped"]
Reduction = Literal["batch", "group"]
Scope = Literal["all", "classifier"]


@dataclass(frozen=True, eq=False)
class Row:
    """One term of the step's gradient: the gradient of one loss at the weights w + eps.

    Attributes:
        ascent: (C,) floating point, the class weights of the loss along whose gradient the parameters move to w + eps.
            Not used, and None will do, if the radius is 0 or the table's direction is noise.
        descent: (C,) floating point, the class weights of the loss that the step descends, differentiated at w + eps.
        radius: rho, how far the parameters move, see `move` and `Table`. 0 stays at w.
        scope: the parameters that move: "all", or the model's "classifier" (`model.get_classifier()`, as in timm). The
            norm of the ascent's gradient is taken over these. The descent is always differentiated by all parameters.
        move: how the ascent's gradient and the radius become eps. Not used if the table's direction is noise.
    """

    ascent: Tensor | None
    descent: Tensor
    radius: float
    scope: Scope = "all"
    move: Move = L2Move()  # noqa: RUF009 (frozen)

    def to(self, device: torch.device) -> "Row":
        """Move the class weights to a device."""
        ascent, descent = self.ascent, self.descent.to(device)
        if ascent is not None:
            # One tensor is looked up once in each batch.
            ascent = descent if ascent is self.descent else ascent.to(device)
        return replace(self, ascent=ascent, descent=descent)


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a step: the gradient is the sum over the rows of the gradient of `descent` at w + eps.

    Rows whose descent has no weight on any class are left out.

    Attributes:
        rows: at least one row; all have the same number of classes, on the same device.
        reduction: what the sum of the weighted losses is divided by: "batch", the sum of the class weights over the
            whole batch, so that rows whose descents add up to 1 give the (weighted) mean loss; "group", the same sum,
            weighted by the row's own descent (or ascent), so that each row is a weighted mean of its own.
        direction: where the rows move to. "gradient", along the gradient of their ascent, as `Row.move` says: with
            `L2Move` the radius is the L2 norm of the move over all parameters of the scope together. "isotropic",
            Gaussian noise whose norm is the radius in the mean square. "filter", Gaussian noise of standard deviation
            radius * norm(filter) for each filter (a row of a weight; the whole of a vector). "clamped", for each weight
            Gaussian noise of standard deviation radius / 3, clamped to [-radius, radius].
        parts: the batch runs in this many parts of (nearly) equal size, each with its own noise; 1 for "gradient".
        reweights: whether the method weights classes anew, so that the descents need not add up to 1 for each class.
        gap_weight: GSAM's alpha (Zhuang 2022). With g the step's gradient and h the sum of the gradients at w that its
            rows ascend, the step subtracts gap_weight times the part of h that is orthogonal to g.
        device_radii: (K,) radii on the device, read in place of the rows' own, so that a captured CUDA step can follow
            a schedule; see `with_radii`.

    Raises:
        ValueError: the descents do not add up to 1 for each class, or a value makes no sense.
    """

    rows: Sequence[Row]
    reduction: Reduction = "batch"
    direction: Direction = "gradient"
    parts: int = 1
    reweights: bool = False
    gap_weight: float = 0.0
    device_radii: Tensor | None = None

    def __post_init__(self) -> None:
        for field, choices in (("reduction", get_args(Reduction)), ("direction", get_args(Direction))):
            if getattr(self, field) not in choices:
                raise ValueError(f"{field} must be one of {', '.join(choices)}, not {getattr(self, field)!r}")
        if self.parts < 1 or (self.parts > 1 and self.direction == "gradient"):
            raise ValueError(f"parts must be at least 1, and 1 where rows follow a gradient, not {self.parts}")
        _check_rows(self.rows, self.reduction, self.direction)
        if not self.reweights:
            _check_sum(self.rows)
        kept = tuple(row for row in self.rows if bool(row.descent.any()))
        if not kept:
            raise ValueError("no row of the table has weight on any class; give at least one that has")
        object.__setattr__(self, "rows", kept)
        _check_gap(self)
        radii = self.device_radii
        if radii is not None and (self.direction != "gradient" or radii.shape != (len(kept),)):
            raise ValueError(f"device_radii must be ({len(kept)},), one per row, and the rows must follow gradients")

    @property
    def radii(self) -> tuple[float, ...]:
        """The rows' radii."""
        return tuple(float(row.radius) for row in self.rows)

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return len(self.rows[0].descent)

    @property
    def device(self) -> torch.device:
        """The device of the class weights."""
        return self.rows[0].descent.device

    @property
    def structure(self) -> tuple[object, ...]:
        """All of the table except the values of its radii above 0; hashable, so that tables can be compared."""
        rows = tuple(
            (
                row.radius > 0,
                row.scope,
                row.move,
                tuple(row.descent.tolist()),
                tuple(row.ascent.tolist()) if row.ascent is not None and row.radius > 0 else None,
            )
            for row in self.rows
        )
        return rows, self.reduction, self.direction, self.parts, self.reweights, self.gap_weight

    def with_radii(self, radii: Tensor) -> "Table":
        """Read the radii from a tensor on the device, which may be changed in place between steps.

        Args:
            radii: (K,) one for each row of `rows`. Whether a row moves at all is still what its own radius says.

        Raises:
            ValueError: the shape does not fit, or the table moves by noise.
        """
        return replace(self, device_radii=radii)

    def to(self, device: torch.device) -> "Table":
        """Move the class weights to a device."""
        return replace(self, rows=tuple(row.to(device) for row in self.rows))


def _check_rows(rows: Sequence[Row], reduction: Reduction, direction: Direction) -> None:
    """Check each row on its own.

    Raises:
        ValueError: a row's weights, radius or scope make no sense.
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    shape, device = rows[0].descent.shape, rows[0].descent.device
    for row in rows:
        if not (math.isfinite(row.radius) and row.radius >= 0):
            raise ValueError(f"radii must be finite and not below 0, not {row.radius}")
        if row.scope not in get_args(Scope):
            raise ValueError(f"scope must be one of {', '.join(get_args(Scope))}, not {row.scope!r}")
        if not isinstance(row.move, Move):
            raise ValueError(f"move must be a Move, such as L2Move(), not {row.move!r}")
        ascends = direction == "gradient" and row.radius > 0
        named = {"descent": row.descent} | ({"ascent": row.ascent} if ascends else {})
        for name, weights in named.items():
            if weights is None:
                raise ValueError(
                    f"a row of radius {row.radius} needs class weights for its ascent; a radius of 0 does not"
                )
            if weights.ndim != 1 or weights.shape != shape or not weights.is_floating_point():
                raise ValueError(
                    f"{name} must be (classes,) floating-point class weights, as in the other rows, "
                    f"not {tuple(weights.shape)} {weights.dtype}"
                )
            if weights.device != device:
                raise ValueError(f"{name} lies on {weights.device}, other class weights on {device}; move them there")
            of_own = reduction == "group" or (name == "ascent" and row.move.of_mean)
            if not bool(weights.isfinite().all()) or (of_own and bool((weights < 0).any())):
                why = "the reduction 'group'" if reduction == "group" else type(row.move).__name__
                also = f" and, with {why}, not below 0" if of_own else ""
                raise ValueError(f"{name} must be finite{also}, not {weights[:10].tolist()}")
        if ascends and bool(row.descent.any()) and row.ascent is not None and not bool(row.ascent.any()):
            raise ValueError(
                f"a row of radius {row.radius} has an ascent without weight on any class; set its radius to 0"
            )


def _check_gap(table: Table) -> None:
    """Check that the ascents' gradients can be subtracted from the step's.

    Raises:
        ValueError: the weight makes no sense, or the gradients are of other parameters or on another scale.
    """
    if not (math.isfinite(table.gap_weight) and table.gap_weight >= 0):
        raise ValueError(f"gap_weight must be finite and not below 0, not {table.gap_weight}")
    own = [row for row in table.rows if row.radius > 0 and (row.scope != "all" or row.move.of_mean)]
    if table.gap_weight and (own or table.direction != "gradient"):
        raise ValueError(
            "a gap_weight above 0 needs rows that follow gradients of all parameters on the scale of the whole batch: "
            "no noise, no scope 'classifier', no NormRatioMove"
        )


def _check_sum(rows: Sequence[Row]) -> None:
    """Check that the descents add up to 1 for each class.

    Raises:
        ValueError: they do not.
    """
    total = torch.zeros(len(rows[0].descent), dtype=torch.float64)
    for row in rows:
        total += row.descent.cpu()
    wrong = torch.nonzero((total - 1).abs() > _ROUNDING).flatten().tolist()
    if wrong:
        raise ValueError(
            f"the descents must add up to 1 for each class; these do not: {wrong[:10]}; "
            "pass reweights=True if the method weights classes anew"
        )


_ROUNDING = 1e-5
"""Sums of class weights in float32 are this near to what they stand for."""
