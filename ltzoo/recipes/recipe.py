"""The recipe: a frozen record of everything that a training run does."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ltzoo.data import IMPORTED, SUBSET_RULES, Augmentation, Benchmark, get_benchmark, make_groups
from ltzoo.losses import Loss, Reweighting
from ltzoo.sharpness import Ascent, Perturbation

_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
"""A name becomes a folder's, so it holds nothing that a path could mean something by."""


@dataclass(frozen=True)
class Optimizer:
    """The base optimizer, torch's SGD.

    Attributes:
        lr: learning rate.
        momentum: momentum, without dampening.
        weight_decay: L2 penalty, on every parameter.
        nesterov: Nesterov's momentum.
        clip_grad: the largest L2 norm of the gradient that the step is taken with, over all parameters; None: no limit.
    """

    lr: float
    momentum: float
    weight_decay: float
    nesterov: bool
    clip_grad: float | None = None

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if self.momentum < 0 or self.weight_decay < 0:
            raise ValueError(f"momentum and weight_decay must not be below 0: {self.momentum}, {self.weight_decay}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov wants a momentum above 0")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise ValueError(f"clip_grad must be above 0, not {self.clip_grad}")


@dataclass(frozen=True)
class Schedule:
    """The learning rate over the epochs: linear warm-up, then steps or a cosine.

    Attributes:
        epochs: T.
        warmup_epochs: epoch e < warmup_epochs has lr * (e + 1) / warmup_epochs.
        milestones: epochs, from 0, at which the factor changes; none with a cosine.
        factors: what lr is multiplied by from each milestone on (not cumulative).
        decay: "steps", or "cosine": epoch e has lr * (1 + cos(pi * e / T)) / 2.
    """

    epochs: int
    warmup_epochs: int
    milestones: tuple[int, ...]
    factors: tuple[float, ...]
    decay: Literal["steps", "cosine"] = "steps"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, not {self.epochs}")
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must be at least 0, not {self.warmup_epochs}")
        if len(self.milestones) != len(self.factors) or list(self.milestones) != sorted(self.milestones):
            raise ValueError(
                f"milestones must not fall and have a factor each, not {list(self.milestones)} and {list(self.factors)}"
            )
        if any(milestone < 0 for milestone in self.milestones) or any(factor < 0 for factor in self.factors):
            raise ValueError(
                f"milestones and factors must not be below 0: {list(self.milestones)} and {list(self.factors)}"
            )
        if self.decay == "cosine" and self.milestones:
            raise ValueError(f"milestones belong to steps, a cosine has none, not {list(self.milestones)}")

    def factor(self, epoch: int) -> float:
        """Compute what the learning rate is multiplied by in an epoch, from 0."""
        if epoch < self.warmup_epochs:
            return (epoch + 1) / self.warmup_epochs
        if self.decay == "cosine":
            return (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        passed = [factor for milestone, factor in zip(self.milestones, self.factors, strict=True) if epoch >= milestone]
        return passed[-1] if passed else 1.0


@dataclass(frozen=True)
class PaperRule:
    """How a paper selects and measures. Ours is always the last epoch without test-time augmentation.

    Attributes:
        interval: epochs from one look at the test set to the next; the best of those epochs is taken.
        flip: the figure averages the logits of each image and of its mirror image; the selection does not.
    """

    interval: int
    flip: bool

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"interval must be at least 1, not {self.interval}")


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in per cent; None for what a paper does not print.

    Attributes:
        overall: of all test images.
        head: of the head group.
        mid: of the mid group, which the step profile lacks.
        tail: of the tail group.
    """

    overall: float | None
    head: float | None
    mid: float | None
    tail: float | None


@dataclass(frozen=True)
class Published:
    """A figure that a paper printed.

    Attributes:
        paper: `A` (Rangwani 2022) or `B` (Lyu 2025).
        table: the table or figure in it.
        row: the row in the table.
        mean: the accuracies.
        std: their standard deviations over the seeds, None where the paper prints none.
        n: number of seeds, None where the paper does not say.
    """

    paper: str
    table: str
    row: str
    mean: Accuracy
    std: Accuracy | None
    n: int | None


@dataclass(frozen=True)
class Source:
    """Where a recipe comes from.

    Attributes:
        paper: `A`, `B`, or `ltzoo` where it is our own.
        cites: keys of the works it rests on, see `ltzoo.recipes.citations`.
        ours: fields whose value no paper gives for this network and benchmark, or in which the recipe leaves the paper
            (`batchnorm`); the rest of it is the paper's.
    """

    paper: str
    cites: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture, a benchmark and how to train the one on the other.

    Attributes:
        name: `ARCH_BENCHMARK_LOSS[_RULE]_PERTURBATION`.
        architecture: a name that `timm.create_model` knows.
        classifier: `linear`, or `cosine` (bias-free, normalised).
        benchmark: name of the benchmark.
        protocol: the family of recipes that it belongs to.
        subset: the rule that chooses the training images; `imported` where a file names them.
        loss: one value an image.
        reweighting: class weights over the epochs.
        perturbation: where the gradient is taken.
        batchnorm: which passes update the running statistics: `clean`, the one at w; `all`, each.
        ascent: whose gradient a group climbs, see `perturbed_backward`: with `averaged` the number of processes and of
            micro-batches changes what BatchNorm sees, and nothing else.
        optimizer: the base optimizer.
        ema_decay: decay, a step, of the moving average of the weights that is evaluated and kept in the place of the
            weights; None: the weights themselves.
        schedule: epochs and learning rate.
        batch_size: images a step, over all processes.
        micro_batches: parts of a process's batch that run one after the other.
        augmentation: crop and flip.
        precision: of the forward passes; weights stay float32. `tf32` is for matrix products and convolutions on CUDA.
        groups: the rule of the groups that accuracy is reported on.
        paper_rule: how the paper selects and measures.
        source: where it comes from.
        published: what papers printed for it.
    """

    name: str
    architecture: str
    classifier: Literal["linear", "cosine"]
    benchmark: str
    protocol: str
    subset: str
    loss: Loss
    reweighting: Reweighting
    perturbation: Perturbation
    batchnorm: Literal["clean", "all"]
    ascent: Ascent = "averaged"
    optimizer: Optimizer
    ema_decay: float | None = None
    schedule: Schedule
    batch_size: int
    micro_batches: int = 1
    augmentation: Augmentation
    precision: Literal["float32", "tf32", "bfloat16", "float16"]
    groups: str
    paper_rule: PaperRule | None
    source: Source
    published: tuple[Published, ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must be lower-case words joined by underscores, not {self.name!r}")
        _choice("subset", self.subset, (*SUBSET_RULES, IMPORTED))
        make_groups(self.groups, self.data)
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        if not 1 <= self.micro_batches <= self.batch_size:
            raise ValueError(f"micro_batches must be from 1 to the batch size, not {self.micro_batches}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, not {self.ema_decay}")
        table = self.perturbation.table(self.data.class_counts)
        if table.direction != "gradient" and self.batchnorm == "clean":
            raise ValueError(f"batchnorm must be 'all' with {self.perturbation.name}, which has no pass at w")

    @property
    def data(self) -> Benchmark:
        """The benchmark itself."""
        return get_benchmark(self.benchmark)

    def with_epochs(self, epochs: int) -> "Recipe":
        """Shorten or lengthen the training; warm-up, drops, DRW and radii scale by epochs / T, rounded down.

        SSE-SAM's gamma is a share of the epochs, so its stage scales by itself.

        Args:
            epochs: the new T, at least 1.
        """
        old = self.schedule
        schedule = replace(
            old,
            epochs=epochs,
            warmup_epochs=old.warmup_epochs * epochs // old.epochs,
            milestones=tuple(milestone * epochs // old.epochs for milestone in old.milestones),
        )
        return replace(
            self,
            schedule=schedule,
            reweighting=self.reweighting.scaled(epochs, old.epochs),
            perturbation=self.perturbation.scaled(epochs, old.epochs),
        )


def _choice(field: str, value: str, choices: Sequence[str] | dict) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}, not {value!r}")
