"""Records that a recipe is made of: the optimizer, its schedule, and how images reach the model."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Optimizer:
    """The base optimizer, torch's SGD or AdamW.

    Attributes:
        lr: learning rate.
        momentum: momentum, without dampening; AdamW's first beta.
        weight_decay: L2 penalty; AdamW's is decoupled.
        nesterov: Nesterov's momentum.
        clip_grad: the largest L2 norm of the gradient that the step is taken with, over all parameters; None: no limit.
        kind: `sgd` or `adamw`.
        beta2: AdamW's second beta.
        decay_vectors: whether biases and the weights of norms decay too; timm leaves them out.
        layer_decay: what the learning rate is multiplied by from each group of layers to the one below it, as timm
            groups them; None: one rate for all.
        trained: `all` weights, or those of the `head` alone: the others stay, running statistics too.
    """

    lr: float
    momentum: float
    weight_decay: float
    nesterov: bool
    clip_grad: float | None = None
    kind: Literal["sgd", "adamw"] = "sgd"
    beta2: float = 0.999
    decay_vectors: bool = True
    layer_decay: float | None = None
    trained: Literal["all", "head"] = "all"

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if self.momentum < 0 or self.weight_decay < 0:
            raise ValueError(f"momentum and weight_decay must not be below 0: {self.momentum}, {self.weight_decay}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov wants a momentum above 0")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise ValueError(f"clip_grad must be above 0, not {self.clip_grad}")
        if self.kind == "adamw" and (self.nesterov or self.momentum >= 1 or not 0 <= self.beta2 < 1):
            raise ValueError("adamw wants momentum and beta2 in [0, 1), and no nesterov")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must lie above 0 and up to 1, not {self.layer_decay}")
        if self.layer_decay is not None and self.trained == "head":
            raise ValueError("layer_decay is of layers below the head, which trained: head leaves as they are")


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
class Input:
    """How a file's image reaches the model; None is what the model's `pretrained_cfg` says, as in timm.

    Attributes:
        size: height and width in pixels.
        mean: of each channel, see `ltzoo.data.DataSet`.
        std: of each channel.
        crop_pct: the share of the shorter side that is kept of a test image.
        interpolation: how images are resized.
        shorter_side: pixels that each image's shorter side is brought down to before anything else, where it has more;
            such images can be kept (`--image-cache`). None: as they are.
    """

    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    shorter_side: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1, not {self.size}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != 3:
                raise ValueError(f"{name} must be three numbers, one a channel, not {list(values)}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be above 0, not {list(self.std)}")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct must lie above 0 and up to 1, not {self.crop_pct}")
        if self.shorter_side is not None and self.shorter_side < 1:
            raise ValueError(f"shorter_side must be at least 1, not {self.shorter_side}")
