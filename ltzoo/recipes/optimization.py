"""How a recipe's weights are updated: the base optimizer, and the learning rate over the epochs."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Optimizer:
    """The base optimizer: torch's SGD or AdamW, or timm's Muon.

    Attributes:
        lr: learning rate.
        momentum: momentum, without dampening; AdamW's first beta.
        weight_decay: L2 penalty; decoupled with AdamW and Muon.
        nesterov: whether to use Nesterov momentum.
        clip_grad: the gradient's L2 norm over all parameters is clipped to this value; None: no clipping.
        kind: `sgd`, `adamw`, or `muon` (Jordan 2024): Muon for the weights of convolutions and linear layers below
            the classifier, AdamW for all else (classifier, biases, norms, embeddings, depthwise convolutions).
        beta2: AdamW's second beta.
        decay_vectors: whether weight decay applies to biases and the weights of norms; in timm it does not.
        layer_decay: factor of the learning rate from each of timm's groups of layers to the one below it; None: the
            same rate for all layers.
        adamw_lr: with Muon, the learning rate of the weights that AdamW trains; their first beta is 0.9, and their
            weight decay 0.
    """

    lr: float
    momentum: float
    weight_decay: float
    nesterov: bool
    clip_grad: float | None = None
    kind: Literal["sgd", "adamw", "muon"] = "sgd"
    beta2: float = 0.999
    decay_vectors: bool = True
    layer_decay: float | None = None
    adamw_lr: float | None = None

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if self.momentum < 0 or self.weight_decay < 0:
            raise ValueError(f"momentum and weight_decay must not be below 0: {self.momentum}, {self.weight_decay}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise ValueError(f"clip_grad must be above 0, not {self.clip_grad}")
        if self.kind == "adamw" and (self.nesterov or self.momentum >= 1 or not 0 <= self.beta2 < 1):
            raise ValueError("adamw needs momentum and beta2 in [0, 1), and nesterov false")
        if (self.kind == "muon") != (self.adamw_lr is not None):
            raise ValueError(
                "optimizer.adamw_lr is the rate of what muon leaves to AdamW: with muon set a number (--set "
                "optimizer.adamw_lr=0.005), else null (--set optimizer.adamw_lr=null)"
            )
        if self.adamw_lr is not None and self.adamw_lr <= 0:
            raise ValueError(f"adamw_lr must be above 0, not {self.adamw_lr}")
        if self.kind == "muon" and (self.momentum >= 1 or not 0 <= self.beta2 < 1):
            raise ValueError("muon needs momentum and beta2 in [0, 1)")
        if self.kind == "muon" and self.layer_decay is not None:
            raise ValueError("muon has one learning rate for all layers; set layer_decay to null")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay}")


@dataclass(frozen=True)
class Schedule:
    """The learning rate over the epochs: linear warm-up, then steps, a cosine or a straight line.

    Attributes:
        epochs: number of epochs, T; 0 where the head is computed and nothing is trained.
        warmup_epochs: epoch e < warmup_epochs has the rate lr * (e + 1) / warmup_epochs.
        milestones: epochs, from 0, at which the factor changes; empty with the other decays.
        factors: the factor of lr from each milestone on (not cumulative).
        decay: "steps"; "cosine": epoch e has the rate lr * (1 + cos(pi * e / T)) / 2; "cosine_after_warmup": with W
            epochs of warm-up, epoch e >= W has lr * (1 + cos(pi * (e - W + 1) / (T - W + 1))) / 2, as in the code of
            PaCo, BCL and ProCo; or "linear": with W epochs of warm-up, epoch e < W has lr * (e + 1) / (W + 1), and the
            epochs from W on lr * (T - e) / (T - W).
    """

    epochs: int
    warmup_epochs: int
    milestones: tuple[int, ...]
    factors: tuple[float, ...]
    decay: Literal["steps", "cosine", "cosine_after_warmup", "linear"] = "steps"

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"epochs must not be below 0, not {self.epochs}")
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must be at least 0, not {self.warmup_epochs}")
        if len(self.milestones) != len(self.factors) or list(self.milestones) != sorted(self.milestones):
            raise ValueError(
                "milestones must be in ascending order, with one factor each, not "
                f"{list(self.milestones)} and {list(self.factors)}"
            )
        if any(milestone < 0 for milestone in self.milestones) or any(factor < 0 for factor in self.factors):
            raise ValueError(
                f"milestones and factors must not be below 0: {list(self.milestones)} and {list(self.factors)}"
            )
        if self.decay != "steps" and self.milestones:
            raise ValueError(f"milestones must be empty with the decay {self.decay}, not {list(self.milestones)}")
        if self.decay == "linear" and self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs must be below the {self.epochs} epochs, not {self.warmup_epochs}")

    def factor(self, epoch: int) -> float:
        """Compute the factor of the learning rate in an epoch, from 0."""
        if self.decay == "linear":
            rising = (epoch + 1) / (self.warmup_epochs + 1)
            return min(rising, (self.epochs - epoch) / (self.epochs - self.warmup_epochs))
        if epoch < self.warmup_epochs:
            return (epoch + 1) / self.warmup_epochs
        if self.decay == "cosine":
            return (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        if self.decay == "cosine_after_warmup":
            passed, all_of_them = (count - self.warmup_epochs + 1 for count in (epoch, self.epochs))
            return (1 + math.cos(math.pi * passed / all_of_them)) / 2
        dropped = [
            factor for milestone, factor in zip(self.milestones, self.factors, strict=True) if epoch >= milestone
        ]
        return dropped[-1] if dropped else 1.0
