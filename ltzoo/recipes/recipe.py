"""The recipe: a frozen record of everything that a training run does."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ltzoo.data import (
    GROUP_RULES,
    IMPORTED,
    NATURAL_BENCHMARKS,
    SUBSET_RULES,
    WHOLE,
    Augmentation,
    Benchmark,
    Sampler,
    get_benchmark,
    make_groups,
)
from ltzoo.losses import Loss, Reweighting
from ltzoo.recipes.parts import Head, Input, Optimizer, Schedule, Start, Trainable
from ltzoo.sharpness import Ascent, Perturbation

_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
"""A name becomes a folder's, so it holds nothing that a path could mean something by."""


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
        paper: its key in `ltzoo.recipes.citations`, `rangwani2022` for instance.
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
        paper: key of the paper whose settings it follows, `rangwani2022` for instance; `ltzoo` where it is our own.
        cites: keys of the works it rests on, see `ltzoo.recipes.citations`.
        ours: fields whose value no paper gives for this network and benchmark, or in which the recipe leaves the paper
            (`trainable.batchnorm`); the rest of it is the paper's.
    """

    paper: str
    cites: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture, a benchmark and how to train the one on the other.

    Seven parts tell methods apart: start, trainable, head, sampler, views, loss and perturbation.

    Attributes:
        name: `ARCH_BENCHMARK_METHOD_PERTURBATION`; METHOD is `LOSS[_RULE]`, or a method's own word.
        architecture: a name that `timm.create_model` knows.
        benchmark: name of the benchmark.
        protocol: the family of recipes that it belongs to.
        subset: the rule that chooses the training images; `imported` where a file names them; `whole` where the images
            lie in files, and each of the training split is taken.
        start: where training begins.
        trainable: which weights move, and what BatchNorm does.
        head: how features become logits.
        sampler: which images make an epoch, and in which order.
        views: how an image is drawn, once for each view that the loss takes.
        loss: outputs and targets to one value per image.
        perturbation: where the gradient is taken: it fills the table of the step.
        reweighting: class weights over the epochs.
        ascent: whose gradient the perturbation follows, see `perturbed_backward`: with `averaged` the number of
            processes and of micro-batches changes what BatchNorm sees and, with mixup or CutMix, which images are
            mixed, but nothing else.
        optimizer: the base optimizer.
        ema_decay: decay, a step, of the moving average of the weights that is evaluated and kept in the place of the
            weights; None: the weights themselves.
        schedule: epochs and learning rate.
        batch_size: images a step, over all processes.
        micro_batches: parts of a process's batch that run one after the other.
        input: how images reach the model where they lie in files; None where the data set says.
        precision: of the forward passes; weights stay float32. `tf32` is for matrix products and convolutions on CUDA.
        groups: the rule of the groups that accuracy is reported on.
        paper_rule: how the paper selects and measures.
        source: where it comes from.
        published: what papers printed for it.
    """

    name: str
    architecture: str
    benchmark: str
    protocol: str
    subset: str
    start: Start
    trainable: Trainable
    head: Head
    sampler: Sampler
    views: tuple[Augmentation, ...]
    loss: Loss
    perturbation: Perturbation
    reweighting: Reweighting
    ascent: Ascent = "averaged"
    optimizer: Optimizer
    ema_decay: float | None = None
    schedule: Schedule
    batch_size: int
    micro_batches: int = 1
    input: Input | None = None
    precision: Literal["float32", "tf32", "bfloat16", "float16"]
    groups: str
    paper_rule: PaperRule | None
    source: Source
    published: tuple[Published, ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name must be lower-case words joined by underscores, not {self.name!r}")
        _choice("subset", self.subset, (WHOLE,) if self.natural else (*SUBSET_RULES, IMPORTED))
        if self.natural:
            _choice("groups", self.groups, GROUP_RULES)
        else:
            make_groups(self.groups, self.data)
        if (self.input is not None) != self.natural:
            wanted = "give it one" if self.natural else "set it to null"
            raise ValueError(f"input says how a file's image reaches the model; for {self.benchmark}, {wanted}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        if not 1 <= self.micro_batches <= self.batch_size:
            raise ValueError(f"micro_batches must be from 1 to the batch size, not {self.micro_batches}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, not {self.ema_decay}")
        # Which noise there is does not depend on the counts.
        table = self.perturbation.table((2, 1) if self.natural else self.data.class_counts)
        if table.direction != "gradient" and self.trainable.batchnorm == "clean":
            raise ValueError(f"trainable.batchnorm must be 'all' with {self.perturbation.name}, which has no pass at w")
        if len(self.views) != self.loss.views:
            raise ValueError(
                f"views: the loss {self.loss.name} takes {self.loss.views} per image, not {len(self.views)}"
            )
        if self.loss.ties_images and self.micro_batches > 1:
            raise ValueError(f"the loss {self.loss.name} compares the images of a batch; set micro_batches to 1")
        if self.optimizer.layer_decay is not None and self.trainable.weights == "head":
            raise ValueError("layer_decay is of layers below the head, which trainable.weights: head does not move")

    @property
    def natural(self) -> bool:
        """Whether the images lie in files, with whatever class counts they have."""
        return self.benchmark in NATURAL_BENCHMARKS

    @property
    def augmentation(self) -> Augmentation:
        """How an image is drawn for its first view, the one that the classifier is trained on."""
        return self.views[0]

    @property
    def data(self) -> Benchmark:
        """The benchmark itself.

        Raises:
            InputError: its class counts come with its files.
        """
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
