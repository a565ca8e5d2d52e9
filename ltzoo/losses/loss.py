"""Base classes: `Loss`, hyper-parameters, and `LossModule`, a loss with state."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import ClassVar, get_type_hints

import torch
from torch import Tensor, nn

from ltzoo.losses.outputs import Outputs


@dataclass(frozen=True)
class Loss(ABC):
    """The hyper-parameters of a loss. A float must be finite and not below 0.

    Attributes:
        name: its name in a recipe.
        asks: the fields of `Outputs` that it needs beside the logits. If empty, it gets the logits tensor itself.
        ties_images: whether the loss of one image depends on other images of the batch; micro-batches are then refused.
        single_process: whether more than one process is refused.
        gathers_images: whether it gathers the images of all processes, so that a step of some of them is refused.
        views: how many views of each image it needs. The model sees them as one batch of B * V images, and its outputs
            have the views as their second dimension, see `Outputs`.
        model_views: how many of these views, from the first on, the model sees; None for all. The others are for the
            loss alone, which asks for `images`.
        mixes_views: whether the views are of mixed images, each mixed with the same view of one other image.
        weighs: whether it weights the classes itself, so that a re-weighting beside it would count twice.

    Raises:
        ValueError: a field has another type than its annotation, or makes no sense.
    """

    name: ClassVar[str]
    asks: ClassVar[frozenset[str]] = frozenset()
    ties_images: ClassVar[bool] = False
    single_process: ClassVar[bool] = False
    gathers_images: ClassVar[bool] = False
    views: ClassVar[int] = 1
    model_views: ClassVar[int | None] = None
    mixes_views: ClassVar[bool] = False
    weighs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if hints[field.name] is float and not (number and 0 <= value < math.inf):
                raise ValueError(f"{field.name} must be finite and not below 0, not {value!r}")
            if hints[field.name] is int and (not isinstance(value, Integral) or isinstance(value, bool)):
                raise ValueError(f"{field.name} must be a whole number, not {value!r}")
            if hints[field.name] is str and not isinstance(value, str):
                raise ValueError(f"{field.name} must be a string, not {value!r}")

    @property
    def logit_scale(self) -> float:
        """The factor that turns the model's logits into those of probabilities; cosine similarities need one."""
        return 1.0

    def scaled(self, epochs: int, of: int) -> "Loss":
        """Scale its milestones to a training of `epochs` instead of `of` epochs, rounding down."""
        return self

    def check_batch_size(self, images: int) -> None:  # noqa: B027 (most losses take any)
        """Check that batches may have this many images in each process.

        Raises:
            ValueError: they may not.
        """

    @abstractmethod
    def bind(self, class_counts: Tensor | Sequence[int], num_features: int | None = None) -> nn.Module:
        """Make the module for a data set.

        Args:
            class_counts: (C,) training images of each class, all at least 1.
            num_features: F, the size of the model's features; needed only by losses that ask for features.

        Returns:
            A module from outputs (the logits (B, C) if `asks` is empty) and targets (B,) to losses (B,); a `LossModule`
            if it has state. Its constants are float64, so that they are exact in every precision of the logits.

        Raises:
            ValueError: the class counts are not a vector of finite numbers from 1 on, or `num_features` is needed and
                missing.
        """


class LossModule(nn.Module, ABC):
    """Base class for losses with state. Keep it in buffers of fixed shape, so that it is saved, moved and restored.

    Args:
        loss: the record whose `asks`, `ties_images`, `single_process` and `gathers_images` hold; None for those of
            `Loss`.
    """

    def __init__(self, loss: Loss | None = None) -> None:
        super().__init__()
        flags = Loss if loss is None else loss
        self.asks, self.ties_images, self.single_process = flags.asks, flags.ties_images, flags.single_process
        self.gathers_images = flags.gathers_images

    unwritten: ClassVar[frozenset[str]] = frozenset()
    """Buffers of its own that `forward` only reads, such as a queue that `commit` fills.

    A step then keeps no copies of them during perturbed passes. Submodules declare their own.
    """

    @property
    def reads_model(self) -> bool:
        """Whether the loss may depend on the model's weights in other ways than through the outputs.

        The step then repeats the whole forward pass where it moves the classifier alone. True for every loss that takes
        note of the model, see `attach`.
        """
        return type(self).attach is not LossModule.attach

    @abstractmethod
    def forward(self, outputs: Outputs | Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each image. It must not change the state: a step may call it several times.

        Args:
            outputs: with the fields that `asks` names; the logits (B, C) if it is empty.
            targets: (B,) int64.

        Returns:
            (B,) losses.
        """

    def begin(self, epoch: int) -> None:
        """Prepare for an epoch, from 0."""

    def attach(self, model: nn.Module) -> None:
        """Take note of the model that is trained, once and before training begins.

        A loss that needs its classifier's weights or a copy of it takes them here; others do nothing. What is kept of
        the model itself must not become a submodule: parameters and state of the loss are its own.

        Args:
            model: with its final device and type, not wrapped in DistributedDataParallel.
        """

    def commit(self, outputs: Outputs | Tensor, targets: Tensor) -> None:
        """Update the state with a batch, after all passes over it.

        `perturbed_backward` calls it once for each micro-batch (for each part, with noise) at the end of each call. So
        a step of one call and one micro-batch, as a loss with `ties_images` needs, commits once; one that is
        accumulated over several calls, or over micro-batches, commits as often. The trainer's steps are one call each.

        Args:
            outputs: those at the unperturbed weights, detached; otherwise as in `forward`.
            targets: (B,) int64; for mixed images the step's own record of classes and weights.
        """


def as_counts(class_counts: Tensor | Sequence[int]) -> Tensor:
    """Check class counts and return them as float64, (C,).

    Raises:
        ValueError: they are no vector, a class has no image, or a count is not finite.
    """
    counts = torch.as_tensor(class_counts, dtype=torch.float64)
    valid = (counts >= 1) & counts.isfinite()
    if counts.ndim != 1 or not bool(valid.all()):
        # Only the first few: there can be thousands.
        wrong = counts[~valid][:10].tolist() or f"of the shape {tuple(counts.shape)}"
        raise ValueError(f"class counts must be a vector of numbers from 1 on, not {wrong}")
    return counts


def check_num_features(name: str, num_features: int | None) -> int:
    """Return the size of the model's features.

    Raises:
        ValueError: it is not given.
    """
    if num_features is None:
        raise ValueError(f"the loss {name} needs num_features, the size of the model's features")
    return num_features


def log_prior(counts: Tensor) -> Tensor:
    """Return log pi with pi_j = n_j / sum n, (C,)."""
    return (counts / counts.sum()).log()
