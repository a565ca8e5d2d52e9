"""Relatives of SAM that measure the move, or use the gradients, in another way: ASAM, GSAM, CC-SAM and GroupSAM."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import torch
from torch import Tensor

from ltzoo.sharpness.ascent import AdaptiveMove, NormRatioMove
from ltzoo.sharpness.methods import SAM, TailPerturbation
from ltzoo.sharpness.partition import tail_partition
from ltzoo.sharpness.perturbation import Perturbation, all_classes, class_weights_dtype
from ltzoo.sharpness.schedules import Radius, radius_at
from ltzoo.sharpness.table import Row, Scope, Table


@dataclass(frozen=True)
class ASAM(SAM):
    """Adaptive SAM (Kwon 2021): each weight moves in proportion to its own size, see `AdaptiveMove`.

    Attributes:
        rho: radius, the L2 norm of eps divided by the weights' sizes.
        eta: added to each weight's size; the authors' default is 0.01.
    """

    eta: float
    name: ClassVar[str] = "asam"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        all_ones = all_classes(class_counts)
        return Table([Row(all_ones, all_ones, radius_at(self.rho, epoch, epochs), move=AdaptiveMove(self.eta))])


@dataclass(frozen=True)
class GSAM(SAM):
    """Surrogate gap guided SAM (Zhuang 2022): SAM's gradient g, less alpha times a part of the gradient h at w.

    The surrogate gap is the loss at w + eps less the loss at w. The part of h that is orthogonal to g is subtracted, so
    that the gap falls and the loss at w + eps falls as fast as with SAM. In the paper rho falls from its largest to its
    smallest value as the learning rate does: `Cosine(start=0.6, end=0.2)` beside a cosine schedule.

    Attributes:
        rho: radius, in units of the parameters' global L2 norm.
        alpha: how much of the orthogonal part is subtracted; 0 is SAM.
    """

    alpha: float
    name: ClassVar[str] = "gsam"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        return replace(super().table(class_counts, epoch, epochs), gap_weight=self.alpha)


@dataclass(frozen=True)
class CCSAM(Perturbation):
    """Class-conditional SAM (Zhou 2023, CVPR), first stage: each class moves the classifier along its own gradient.

    A row that stays at w descends the loss with weight 1 - q. A row for each class c descends that class's loss with
    weight q, where the classifier has moved along the gradient g of the class's mean loss, each tensor w by
    rho * (D / (n_c - 1))^(1/4) * sqrt(norm(w) / (2 norm(g))), with D parameters in the scope: see `NormRatioMove`.
    A class of one image counts as if it had two. Mixed images count for each of their classes; in the authors' code the
    moved part of the loss sees the first label alone.

    A step holds a gradient of the scope, and a moved copy, for each class; in one process that repeats the classifier
    alone, for each class of the batch. More than 1000 of a classifier are refused.

    Attributes:
        rho: factor of all radii; 1e-6 in the authors' code.
        q: the weight of the moved loss, in [0, 1].
        scope: what moves: "classifier", as in the authors' code, which needs no further pass through the rest of the
            model; "all" parameters, as in the paper's text, which needs two further passes for each class.
    """

    rho: Radius
    q: float
    scope: Scope = "classifier"
    name: ClassVar[str] = "ccsam"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.q > 1:
            raise ValueError(f"q must lie in [0, 1], not {self.q}")
        if self.scope not in get_args(Scope):
            raise ValueError(f"scope must be one of {', '.join(get_args(Scope))}, not {self.scope!r}")

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        counts = torch.as_tensor(class_counts)
        all_ones = all_classes(counts).to(class_weights_dtype(counts.device))
        rho = radius_at(self.rho, epoch, epochs)
        radii = [rho / (2**0.5 * (max(count, 2) - 1) ** 0.25) for count in counts.tolist()]
        own = self.q * torch.diag(all_ones)
        rows = [Row(c, c, radius, self.scope, NormRatioMove()) for c, radius in zip(own, radii, strict=True)]
        return Table([Row(None, (1 - self.q) * all_ones, 0.0), *rows])

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
        """See `Perturbation.radii`; the factor of all radii is called `rho`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}


@dataclass(frozen=True)
class GroupSAM(TailPerturbation):
    """Head and tail classes each move as far as CC-SAM's formula says, as in GKP-GSA (2026) without its memory.

    Both rows move all parameters w along the gradient g of the group's (weighted) mean loss, by

        norm(eps) = rho * (D / (n - 1))^(1/4) * sqrt(norm(w) / (2 norm(g)))

    with D parameters, n training images in the classes of the group, and norms over all tensors together, so that the
    group with fewer images and the smaller gradient moves farther. A group of one image counts as if it had two.
    GKP-GSA's code also subtracts an average of the group's earlier gradients, which needs a memory, and takes a single
    pass at the groups' mean eps.

    Attributes:
        rho: factor of both radii.
    """

    rho: Radius
    name: ClassVar[str] = "groupsam"

    def table(self, class_counts: Tensor | Sequence[int], epoch: int | None = None, epochs: int | None = None) -> Table:
        """See `Perturbation.table`."""
        counts = torch.as_tensor(class_counts)
        is_tail = tail_partition(counts, self.eta)
        rho = radius_at(self.rho, epoch, epochs)
        rows = []
        for group in (~is_tail, is_tail):
            images = max(int(counts[group].sum()), 2)
            radius = rho / (2**0.5 * (images - 1) ** 0.25)
            rows.append(Row(group.float(), group.float(), radius, move=NormRatioMove(per_tensor=False)))
        return Table(rows)

    def radii(self, epoch: int | None = None, epochs: int | None = None) -> dict[str, float]:
        """See `Perturbation.radii`; the factor of both radii is called `rho`."""
        return {"rho": radius_at(self.rho, epoch, epochs)}
