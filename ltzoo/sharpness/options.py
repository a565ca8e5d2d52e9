"""`StepOptions` and `MixedTargets`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

Ascent = Literal["averaged", "local", "micro_batch"]
BatchNormPolicy = Literal["clean", "all"]


@dataclass(frozen=True)
class MixedTargets:
    """Labels of mixed images (mixup, CutMix): M classes per image, each with a weight.

    Attributes:
        classes: (B, M) int64.
        weights: (B, M) floating point, not below 0, on the same device.
    """

    classes: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class StepOptions:
    """How `perturbed_backward` runs its passes.

    Attributes:
        forward: images to outputs; the model itself if None (a compiled or an autocast wrapper of it, for example).
        batchnorm: "clean" lets only the passes at w update running statistics, BatchNorm's and all other buffers that
            a pass writes; "all" lets every pass (as the papers' code does). Noise has no pass at w and needs "all".
        scaler: scales the losses in float16; `.grad` is then scaled too, as `scaler.step` expects it. If any pass
            overflows, `.grad` is not finite, so that the scaler skips the step, and running statistics and buffers of
            the loss are restored.
        generator: of the noise, on the parameters' device; torch's default if None. Processes that share the batch and
            its noise ("averaged") each need one, seeded alike.
        ascent: whose gradient a row ascends: "averaged", that of the whole batch, so that N processes compute what one
            process would with all the images; "local", each process that of its own images; "micro_batch", each
            micro-batch its own.
        micro_batches: forward and backward run over this many parts of the batch in sequence, for a batch whose
            activations do not fit into memory; fewer if the batch has fewer images. Except for BatchNorm and dropout,
            which see the parts, "averaged" and "local" give the same as a single part.
        process_group: processes that share the batch, for a model that is not wrapped in DistributedDataParallel.

    Raises:
        ValueError: a value is not one of the choices, or there is no micro-batch.
    """

    forward: Callable[[Tensor], Any] | None = None
    batchnorm: BatchNormPolicy = "clean"
    scaler: GradScaler | None = None
    generator: torch.Generator | None = None
    ascent: Ascent = "averaged"
    micro_batches: int = 1
    process_group: dist.ProcessGroup | None = None

    def __post_init__(self) -> None:
        for option, choices in (("batchnorm", get_args(BatchNormPolicy)), ("ascent", get_args(Ascent))):
            if getattr(self, option) not in choices:
                raise ValueError(f"{option} must be one of {', '.join(choices)}, not {getattr(self, option)!r}")
        if self.micro_batches < 1:
            raise ValueError(f"micro_batches must be at least 1, not {self.micro_batches}")
