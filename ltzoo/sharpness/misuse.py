"""What the step cannot do is said in one line, before anything is changed that matters."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.table import GroupTable


def check_model(model: nn.Module, forward: object) -> None:
    """See that gradients can be taken of a model's own parameters.

    Raises:
        ValueError: gradients are off, or the model is sharded.
    """
    if not torch.is_grad_enabled():
        raise ValueError("gradients are off: call the step outside torch.no_grad() and torch.inference_mode()")
    if isinstance(forward, DistributedDataParallel):
        raise ValueError("forward must not be wrapped in DistributedDataParallel: wrap the model alone, and pass that")
    if any(isinstance(part, DistributedDataParallel) for part in model.modules()):
        raise ValueError(
            "DistributedDataParallel lies within another wrapper, where its processes are not seen: wrap it last, "
            "as DistributedDataParallel(torch.compile(model))"
        )
    # Whoever has a sharded model has imported these.
    sharded = tuple(
        getattr(sys.modules[module], name)
        for module, name in _SHARDED
        if module in sys.modules and hasattr(sys.modules[module], name)
    )
    if any(isinstance(part, sharded) for part in [*model.modules(), *model.parameters()]):
        raise ValueError("FSDP and other sharded models cannot be used: the step needs whole parameters; use DDP")


_SHARDED = (
    ("torch.distributed.fsdp", "FullyShardedDataParallel"),
    ("torch.distributed.fsdp", "FSDPModule"),
    ("torch.distributed.tensor", "DTensor"),
)


def check_batch(
    images: object, targets: object, table: GroupTable, class_weights: Tensor | None, target_weights: object
) -> None:
    """See that a batch fits the table.

    Raises:
        ValueError: there is a closure in its place, the targets are no classes of the table, or their weights do not
            fit them.
    """
    if not isinstance(table, GroupTable):
        raise ValueError(
            f"table must be a GroupTable, not {type(table).__name__}: pass method.table(class_counts, epoch, epochs)"
        )
    if callable(images) and not isinstance(images, Tensor):
        raise ValueError("the step takes no closure: give it the batch, images and targets; it runs every pass itself")
    mixed = isinstance(targets, Tensor) and targets.ndim == 2 and targets.shape[1] > 0
    if not isinstance(targets, Tensor) or not (targets.ndim == 1 or mixed) or targets.dtype != torch.int64:
        raise ValueError(
            f"targets must be (B,) int64 classes, or (B, M) with target_weights for mixed images, not {_shown(targets)}"
        )
    if isinstance(images, Tensor) and len(images) != len(targets):
        raise ValueError(f"there are {len(images)} images and {len(targets)} targets; give as many of both")
    if targets.device != table.members.device:
        raise ValueError(
            f"the table lies on {table.members.device}, the targets on {targets.device}: build the table from "
            "class counts on that device"
        )
    classes = table.members.shape[1]
    if class_weights is not None and class_weights.shape != (classes,):
        raise ValueError(f"class_weights must be ({classes},), as the table, not {tuple(class_weights.shape)}")
    # Elsewhere the device itself stops at a class that is not there; asking it would make it wait.
    if targets.device.type == "cpu" and len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise ValueError(
            f"the labels run from {int(targets.min())} to {int(targets.max())}, the table has {classes} classes: "
            "build it from the class counts of the images that are trained on"
        )
    if mixed or target_weights is not None:
        _check_mixture(targets, target_weights)


def _check_mixture(targets: Tensor, weights: object) -> None:
    """See that each label of a mixed image has its weight.

    Raises:
        ValueError: weights are missing, do not fit the targets, or are below 0 (found on CPUs).
    """
    if targets.ndim == 1:
        raise ValueError("target_weights need (B, M) targets, M labels for each mixed image; (B,) targets take none")
    if weights is None:
        raise ValueError("(B, M) targets need target_weights, (B, M): what each label of an image counts")
    if not isinstance(weights, Tensor) or weights.shape != targets.shape or not weights.is_floating_point():
        raise ValueError(
            f"target_weights must be {tuple(targets.shape)} floating-point, as the targets, not {_shown(weights)}"
        )
    if weights.device != targets.device:
        raise ValueError(f"target_weights lie on {weights.device}, the targets on {targets.device}; move them there")
    if weights.device.type == "cpu" and len(weights):
        least, most = float(weights.min()), float(weights.max())
        if not 0 <= least <= most < math.inf:
            raise ValueError(f"target_weights must be finite and not below 0; they run from {least} to {most}")


def _shown(value: object) -> str:
    """Say what was found in a tensor's place."""
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def check_options(table: GroupTable, batchnorm: str, ascent: str, micro_batches: int, radii: Tensor | None) -> None:
    """See that the options suit each other.

    Raises:
        ValueError: one is no choice, or does not suit the table.
    """
    for option, value, choices in (
        ("batchnorm", batchnorm, ("clean", "all")),
        ("ascent", ascent, ("averaged", "local", "micro_batch")),
    ):
        if value not in choices:
            raise ValueError(f"{option} must be one of {', '.join(choices)}, not {value!r}")
    if micro_batches < 1:
        raise ValueError(f"micro_batches must be at least 1, not {micro_batches}")
    noise = table.direction != "gradient"
    if noise and batchnorm == "clean":
        raise ValueError(f"the direction {table.direction!r} has no pass at w; use batchnorm='all'")
    if radii is not None and (noise or radii.shape != (len(table.radii),)):
        raise ValueError(f"radii must be ({len(table.radii)},), one a group that follows its gradient")


def check_processes(
    model: nn.Module,
    table: GroupTable,
    ascent: str,
    generator: torch.Generator | None,
    images: int,
    micro_batches: int,
) -> None:
    """See that processes that share a batch will do alike.

    Raises:
        ValueError: their noise would differ, or SyncBatchNorm would wait for a micro-batch that is not there.
    """
    if table.direction != "gradient" and ascent == "averaged" and generator is None:
        raise ValueError(
            "processes that share their noise need a generator each, seeded alike: pass generator=, or ascent='local'"
        )
    if images < micro_batches and any(isinstance(part, nn.SyncBatchNorm) for part in model.modules()):
        raise ValueError(
            f"{micro_batches} micro-batches of {images} images: SyncBatchNorm needs as many in every process; "
            "lower micro_batches"
        )


def check_parameters(parameters: Sequence[Tensor]) -> None:
    """See that there are parameters, and that they can take small steps.

    Raises:
        ValueError: there are none, or some are in float16.
    """
    if not parameters:
        raise ValueError("the model has no trainable parameter")
    if any(parameter.dtype == torch.float16 for parameter in parameters):
        raise ValueError("parameters in float16 are too coarse to be perturbed: keep them in float32, and use autocast")


def check_logits(logits: Any, table: GroupTable, scaler: GradScaler | None) -> None:
    """See that what a forward pass gave can be differentiated, and has the table's classes.

    Raises:
        ValueError: it cannot, it has other classes, or it is in float16 without a loss scaler.
    """
    if not isinstance(logits, Tensor):
        return
    classes = table.members.shape[1]
    if logits.ndim == 2 and logits.shape[1] != classes:
        raise ValueError(
            f"the model has {logits.shape[1]} classes, the table {classes}: build it from the class counts of the "
            "images that are trained on"
        )
    if not logits.requires_grad:
        raise ValueError("the logits do not depend on a trainable parameter: was the forward pass under no_grad?")
    if torch.float16 in _precisions(logits) and (scaler is None or not scaler.is_enabled()):
        raise ValueError("in float16 small gradients become 0: pass the loss scaler as scaler=, or use bfloat16")


def _precisions(logits: Tensor) -> set[torch.dtype]:
    """Find the precisions that logits went through at last: Accelerate, for one, converts them to float32."""
    found, node = {logits.dtype}, logits.grad_fn
    while node is not None and node.name() == "ToCopyBackward0":
        node = node.next_functions[0][0]
        if node is not None:
            found.update(metadata.dtype for metadata in node._input_metadata)
    return found


def check_losses(losses: Tensor, targets: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> None:
    """See that a criterion gave one loss an image.

    Raises:
        ValueError: it gave something else.
    """
    if losses.shape != targets.shape:
        hint = ": pass reduction='none'" if hasattr(criterion, "reduction") or losses.ndim == 0 else ""
        raise ValueError(
            f"criterion must give one loss an image, {tuple(targets.shape)}, not {tuple(losses.shape)}{hint}"
        )


def check_graph(losses: Tensor) -> None:
    """See, where a parameter got no gradient, that it was not hidden by reentrant checkpointing.

    Raises:
        ValueError: activations are checkpointed with `use_reentrant=True`; its parameters are not seen from outside.
    """
    seen, ahead = set(), [losses.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        if node.name() == "CheckpointFunctionBackward":
            raise ValueError(
                "activations are checkpointed with use_reentrant=True, which hides parameters: use use_reentrant=False"
            )
        seen.add(node)
        ahead.extend(following for following, _ in node.next_functions)
