"""How an analysis computes."""

import math
from dataclasses import dataclass
from typing import Literal

from ltzoo.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How an analysis computes.

    Attributes:
        loss: `ce`, cross-entropy without weights; `recipe`, the recipe's own loss, with the class weights of the epoch.
        augment: draw crops and flips anew for each product, as paper A's script does; else the images as they are.
        precision: of weights and vectors.
        probes: random vectors of each spectrum.
        tolerance: see `Lanczos.converged`.
        most_steps: Lanczos steps at which a probe ends, converged or not.
        seed: of the random vectors.
        slice_reach: how far from w along the two extreme eigenvectors the loss is also measured, on the plane that they
            span: a distance as a radius rho is one. None: it is not.
        slice_points: points of that plane along each, an odd number, so that w is one of them.
        escape: also measure the component of each method's gradient along the lowest eigenvector.
        chunk: images that are differentiated at once, which changes rounding alone.
    """

    loss: Literal["ce", "recipe"] = "ce"
    augment: bool = False
    precision: Literal["float32", "float64"] = "float32"
    probes: int = 3
    tolerance: float = 0.001
    most_steps: int = 200
    seed: int = 0
    slice_reach: float | None = None
    slice_points: int = 21
    escape: bool = False
    chunk: int = 64

    def __post_init__(self) -> None:
        if self.most_steps < 2:
            raise InputError(f"a spectrum has two ends, so at least 2 steps are to be allowed, not {self.most_steps}")
        if not 0 < self.tolerance < 1:
            raise InputError(f"the tolerance must lie between 0 and 1, not {self.tolerance}")
        if self.slice_points < 3 or self.slice_points % 2 == 0:
            raise InputError(f"a slice has an odd number of points along each side, 3 or more, not {self.slice_points}")
        if self.slice_reach is not None and self.augment:
            raise InputError("a slice is of the images as they are; leave --augment out, or --slice")
        if self.slice_reach is not None and not 0 < self.slice_reach < math.inf:
            raise InputError(f"a slice reaches a finite distance above 0, not {self.slice_reach}")
