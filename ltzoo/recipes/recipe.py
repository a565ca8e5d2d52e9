"""The recipe: a frozen record of all settings of a training run that affect its figures."""

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
from ltzoo.errors import InputError, shown
from ltzoo.losses import GLMC, Loss, Reweighting
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import Head, Input, Start, Trainable
from ltzoo.sharpness import Ascent, NoPerturbation, Perturbation

_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
"""A recipe's name is also the name of a folder, so it has no characters with a meaning in paths."""


Precision = Literal["float32", "tf32", "bfloat16", "float16", "auto"]
"""Of forward passes; `auto` becomes `bfloat16` on a GPU that has it, else `float32`."""


@dataclass(frozen=True)
class PaperRule:
    """How a paper selects and measures an epoch. ltzoo measures the last epoch, without test-time augmentation.

    Attributes:
        interval: the paper evaluates on the test set every so many epochs, and reports the best of these epochs.
        flip: whether the reported figure averages the logits of each image and its mirror image; the selection of the
            epoch does not.
    """

    interval: int
    flip: bool

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"interval must be at least 1, not {self.interval}")


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in per cent; None if a paper does not print the value.

    Attributes:
        overall: of all test images.
        head: of the head group.
        mid: of the mid group; the step profile has none.
        tail: of the tail group.
    """

    overall: float | None
    head: float | None
    mid: float | None
    tail: float | None


@dataclass(frozen=True)
class Published:
    """Accuracies that a paper published.

    Attributes:
        paper: key of the paper in `ltzoo.recipes.citations`, such as `rangwani2022`.
        table: the table or figure in the paper; `paper` if it is not known which, `repository` for the paper's code.
        row: the row of the table.
        mean: the accuracies, means over the seeds.
        std: their standard deviations over the seeds; None if the paper prints none.
        n: number of seeds; None if the paper does not give it.
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
        paper: key of the paper that the settings come from, such as `rangwani2022`; `ltzoo` for our own recipes.
        cites: keys of the publications that it is based on, see `ltzoo.recipes.citations`.
        ours: fields with a value that no paper gives for this network and benchmark, or in which the recipe differs
            from the paper (`trainable.batchnorm`); all other settings are the paper's.
    """

    paper: str
    cites: tuple[str, ...]
    ours: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture, a benchmark, and all settings of training the one on the other.

    Methods differ in seven parts: start, trainable, head, sampler, views, loss and perturbation.

    Attributes:
        name: `ARCH_BENCHMARK_METHOD_PERTURBATION`; METHOD is `LOSS[_RULE]`, or the name of a method such as `crt`.
        architecture: a name known to `timm.create_model`.
        benchmark: name of the benchmark.
        protocol: name of the protocol, whose settings several recipes share.
        subset: the rule that chooses the training images; `imported` if a file lists them; `whole` for benchmarks of
            image files, which use all images of the training split.
        start: the weights that training starts from.
        trainable: which weights are trained, and how BatchNorm's statistics are updated.
        head: the classifier.
        sampler: which images make an epoch, and in which order.
        views: how an image is augmented, once for each view that the loss needs.
        partners: draws the images that views are mixed with, for a loss that needs mixed views; None for all others.
        loss: maps outputs and targets to one value per image.
        perturbation: the points at which gradients are computed; it fills the table of the step.
        reweighting: class weights over the epochs.
        ascent: which gradient the perturbation follows, see `perturbed_backward`. With `averaged`, the number of
            processes and of micro-batches affects only BatchNorm and, with mixup or CutMix, which images are mixed.
        optimizer: the base optimizer.
        ema_decay: decay per step of a moving average of the weights, which is evaluated and saved instead of the
            weights; None: no moving average.
        schedule: epochs and learning rate.
        batch_size: images per step, over all processes.
        micro_batches: number of parts of each process's batch that are computed one after the other.
        input: how images in files are preprocessed; for data sets in memory how they are enlarged, None if they are
            not.
        precision: precision of the forward passes; weights are float32. `tf32` applies to matrix products and
            convolutions on CUDA; `auto` is `bfloat16` on a GPU that has it, else `float32`, and a run records which.
        groups: the grouping rule that accuracy is reported by.
        paper_rule: how the paper selects and measures an epoch.
        source: the papers that it comes from.
        published: the accuracies that papers published for it.
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
    partners: Sampler | None = None
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
    precision: Precision
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
        if self.natural and self.input is None:
            raise ValueError(f"input describes how image files are preprocessed; for {self.benchmark} it is needed")
        if not self.natural and self.input is not None:
            self._check_enlarged(self.input)
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size}")
        if not 1 <= self.micro_batches <= self.batch_size:
            raise ValueError(f"micro_batches must be between 1 and batch_size, not {self.micro_batches}")
        if self.ema_decay is not None and self.head.computed:
            raise ValueError(f"ema_decay must be null with the head {self.head.name}, which is computed, not trained")
        if self.head.computed and not isinstance(self.perturbation, NoPerturbation):
            raise ValueError(f"perturbation must be sgd with the head {self.head.name}, which is computed, not trained")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must be between 0 and 1, not {self.ema_decay}")
        # Whether the perturbation is noise depends neither on the class counts nor on the epoch.
        table = self.perturbation.table((2, 1) if self.natural else self.data.class_counts, 0, 1)
        if table.direction != "gradient" and self.trainable.batchnorm == "clean":
            raise ValueError(f"trainable.batchnorm must be 'all' with {self.perturbation.name}, which has no pass at w")
        if len(self.views) != self.loss.views:
            raise ValueError(
                f"views: the loss {self.loss.name} needs {self.loss.views} per image, not {len(self.views)}"
            )
        if self.loss.ties_images and self.micro_batches > 1:
            raise ValueError(
                f"the loss {self.loss.name} of an image depends on the others of its batch; set micro_batches to 1"
            )
        if isinstance(self.loss, GLMC) and self.loss.epochs != self.schedule.epochs:
            raise ValueError(
                f"loss.epochs is {self.loss.epochs}, but schedule.epochs {self.schedule.epochs}: the loss "
                f"{self.loss.name} changes over the whole training; set both, or use --epochs, which sets both"
            )
        self._check_partners()
        mixed = any(view.mixup or view.cutmix for view in self.views)
        if mixed and len(self.views) > 1 and not self.loss.mixes_views:
            raise ValueError(
                "views: mixup and cutmix mix images that are seen once, but the loss "
                f"{self.loss.name} takes {len(self.views)} views of each; set both to 0 in every view"
            )
        if self.loss.ties_images and (table.parts > 1 or mixed):
            raise ValueError(
                f"the loss {self.loss.name} compares the images of a batch, which parts, mixup and cutmix change"
            )
        if self.head.computed == bool(self.schedule.epochs):
            wanted = "must be 0, since it is computed" if self.head.computed else "must be at least 1"
            raise ValueError(f"schedule.epochs: with the head {self.head.name} it {wanted}, not {self.schedule.epochs}")
        if self.head.computed and self.trainable != Trainable("head", "frozen"):
            raise ValueError(f"trainable: the head {self.head.name} is computed, so the rest must be frozen")
        if self.optimizer.layer_decay is not None and self.trainable.weights == "head":
            raise ValueError(
                "layer_decay has no effect with trainable.weights: head, which freezes the layers below the head; "
                "set it to null"
            )

    def _check_partners(self) -> None:
        """Check that views are mixed with partners where the loss needs that, and nowhere else."""
        name = self.loss.name
        if not self.loss.mixes_views:
            if self.partners is not None:
                raise ValueError(f"partners have no effect with the loss {name}, which takes no mixed views; set null")
            return
        if self.partners is None:
            raise ValueError(
                f"partners: the loss {name} takes views that are mixed with other images; give their sampler, such as "
                "{name: inverse_power, power: 0}"
            )
        kinds = [bool(view.mixup) + bool(view.cutmix) for view in self.views]
        alphas = {view.mixup or view.cutmix for view in self.views}
        if set(kinds) != {1} or len(alphas) > 1 or any(view.mixup_off_epoch is not None for view in self.views):
            raise ValueError(
                f"views: the loss {name} mixes each view by one lambda; give each either mixup or cutmix, all of the "
                "same alpha, and no mixup_off_epoch"
            )

    def _check_enlarged(self, wanted: Input) -> None:
        """Check how images in memory are enlarged."""
        if self.data.data_set.channels != 3:
            raise ValueError(f"input must be null for {self.benchmark}, whose images are grey")
        if wanted.crop_pct != 1 or wanted.shorter_side is not None:
            raise ValueError(
                f"input: the images of {self.benchmark} are enlarged as a whole, so crop_pct must be 1 and "
                "shorter_side null"
            )

    @property
    def natural(self) -> bool:
        """Whether the images are in files, so that the class counts are those of the files."""
        return self.benchmark in NATURAL_BENCHMARKS

    @property
    def augmentation(self) -> Augmentation:
        """The augmentation of the first view, which the classifier is trained on."""
        return self.views[0]

    @property
    def data(self) -> Benchmark:
        """The benchmark, with the size and normalisation of its own images, see `ltzoo.recipes.model.seen_benchmark`.

        Raises:
            InputError: its class counts are known only from its files.
        """
        return get_benchmark(self.benchmark)

    def with_epochs(self, epochs: int) -> "Recipe":
        """Change the number of epochs; warm-up, milestones, DRW, a loss's stages, radii and mixup's end scale.

        They scale by epochs / T, and are rounded down.

        SSE-SAM's gamma is a share of the epochs, so its stages scale without a change.

        Args:
            epochs: the new number of epochs, at least 1.

        Raises:
            InputError: its head is computed, not trained.
        """
        old = self.schedule
        if self.head.computed:
            raise InputError(f"{self.name} has no epochs to scale: its head is computed; leave --epochs out")
        schedule = replace(
            old,
            epochs=epochs,
            warmup_epochs=old.warmup_epochs * epochs // old.epochs,
            milestones=tuple(milestone * epochs // old.epochs for milestone in old.milestones),
        )
        return replace(
            self,
            schedule=schedule,
            views=tuple(view.scaled(epochs, old.epochs) for view in self.views),
            loss=self.loss.scaled(epochs, old.epochs),
            reweighting=self.reweighting.scaled(epochs, old.epochs),
            perturbation=self.perturbation.scaled(epochs, old.epochs),
        )


def _choice(field: str, value: str, choices: Sequence[str] | dict) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}, not {shown(value)}")
