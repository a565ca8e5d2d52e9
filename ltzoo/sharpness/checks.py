"""Argument checks of `perturbed_backward`: one line that says what was wrong and what to do."""

import math
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ltzoo.sharpness.batch import BatchRow
from ltzoo.sharpness.options import MixedTargets, StepOptions
from ltzoo.sharpness.table import Table


def check_model(model: nn.Module, forward: object) -> None:
    """Check that the model's own parameters can be differentiated.

    Raises:
        ValueError: gradients are disabled, or the model is sharded.
    """
    if not torch.is_grad_enabled():
        raise ValueError("gradients are disabled: call the step outside torch.no_grad() and torch.inference_mode()")
    if isinstance(forward, DistributedDataParallel):
        raise ValueError("forward must not be wrapped in DistributedDataParallel: wrap the model alone, and pass that")
    if any(isinstance(part, DistributedDataParallel) for part in model.modules()):
        raise ValueError(
            "DistributedDataParallel is inside another wrapper, where its processes are not seen: wrap it last, "
            "as DistributedDataParallel(torch.compile(model))"
        )
    # A sharded model exists only where these are imported already.
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


def check_batch(images: object, targets: object, table: Table, class_weights: Tensor | None) -> None:
    """Check that a batch fits the table.

    Raises:
        ValueError: a closure was passed instead of a batch, or targets or class weights do not fit the table.
    """
    if not isinstance(table, Table):
        raise ValueError(
            f"table must be a Table, not {type(table).__name__}: pass method.table(class_counts, epoch, epochs)"
        )
    if callable(images) and not isinstance(images, Tensor):
        raise ValueError("the step takes no closure: give it the batch, images and targets; it runs every pass itself")
    if isinstance(targets, MixedTargets):
        _check_mixed(targets)
    elif not isinstance(targets, Tensor) or targets.ndim != 1 or targets.dtype != torch.int64:
        raise ValueError(f"targets must be (B,) int64 classes, or MixedTargets for mixed images, not {_shown(targets)}")
    classes = targets.classes if isinstance(targets, MixedTargets) else targets
    if isinstance(images, Tensor) and len(images) != len(classes):
        raise ValueError(f"there are {len(images)} images and {len(classes)} targets; give as many of both")
    if classes.device != table.device:
        raise ValueError(
            f"the table is on {table.device}, the targets are on {classes.device}: build the table from "
            "class counts on that device"
        )
    count = table.num_classes
    if class_weights is not None:
        _check_class_weights(class_weights, table)
    # Elsewhere the device itself fails on a class that does not exist; reading it here would make the host wait.
    if classes.device.type == "cpu" and len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < count:
        raise ValueError(
            f"the labels run from {int(classes.min())} to {int(classes.max())}, the table has {count} classes: "
            "build it from the class counts of the images that are trained on"
        )


def _check_class_weights(class_weights: object, table: Table) -> None:
    """Check the class weights.

    Raises:
        ValueError: they have another type, shape or device than the table's, or values that make no sense (found on
            CPUs).
    """
    if not isinstance(class_weights, Tensor) or class_weights.shape != (table.num_classes,):
        raise ValueError(
            f"class_weights must be a tensor ({table.num_classes},), as the table, not {_shown(class_weights)}"
        )
    if class_weights.device != table.device:
        raise ValueError(
            f"class_weights are on {class_weights.device}, the table is on {table.device}: "
            f"use class_weights.to('{table.device}')"
        )
    if class_weights.device.type == "cpu":
        _check_weights("class_weights", class_weights)


def _check_weights(name: str, weights: Tensor) -> None:
    """Check the values of weights on a CPU: on another device, reading them would make the host wait.

    Raises:
        ValueError: they are negative or not finite.
    """
    if not bool(((weights >= 0) & (weights < math.inf)).all()):
        raise ValueError(
            f"{name} must be finite and not below 0; they run from {float(weights.min())} to {float(weights.max())}"
        )


def _check_mixed(targets: MixedTargets) -> None:
    """Check the labels of mixed images.

    Raises:
        ValueError: classes or weights have the wrong shape or type, or weights are below 0 (found on CPUs).
    """
    classes, weights = targets.classes, targets.weights
    if not isinstance(classes, Tensor) or classes.ndim != 2 or not classes.shape[1] or classes.dtype != torch.int64:
        raise ValueError(f"the classes of MixedTargets must be (B, M) int64, not {_shown(classes)}")
    if not isinstance(weights, Tensor) or weights.shape != classes.shape or not weights.is_floating_point():
        raise ValueError(
            f"the weights of MixedTargets must be {tuple(classes.shape)} floating-point, as the classes, "
            f"not {_shown(weights)}"
        )
    if weights.device != classes.device:
        raise ValueError(f"the weights of MixedTargets are on {weights.device}, the classes on {classes.device}")
    if weights.device.type == "cpu":
        _check_weights("the weights of MixedTargets", weights)


def _shown(value: object) -> str:
    """Describe what was passed in place of a tensor."""
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def check_options(table: Table, options: StepOptions) -> None:
    """Check that the options suit the table.

    Raises:
        ValueError: they do not.
    """
    if table.direction != "gradient" and options.batchnorm == "clean":
        raise ValueError(f"the direction {table.direction!r} has no pass at w; use batchnorm='all'")


def check_criterion(criterion: object, targets: object, table: Table, options: StepOptions) -> None:
    """Check that the criterion can be used with mixed images, with micro-batches and with several processes.

    Raises:
        ValueError: it compares images of the batch, or keeps state of a single process, or gathers the images of more
            processes than share the batch.
    """
    if getattr(criterion, "ties_images", False) and isinstance(targets, MixedTargets):
        raise ValueError(
            "the loss compares the images of a batch by their classes, so each needs a single one: turn mixup and "
            "CutMix off, or pass (B,) targets"
        )
    if getattr(criterion, "ties_images", False) and options.micro_batches > 1:
        raise ValueError(
            f"the loss compares the images of a batch, so {options.micro_batches} micro-batches would change it: "
            "use micro_batches=1"
        )
    if getattr(criterion, "ties_images", False) and table.parts > 1:
        raise ValueError(f"the loss compares the images of a batch, which a table of {table.parts} parts would cut")
    group = options.process_group
    _check_gathering(criterion, group)
    if getattr(criterion, "single_process", False) and group is not None and dist.get_world_size(group) > 1:
        raise ValueError(f"the loss runs in one process alone, not in {dist.get_world_size(group)}: start one")


def _check_gathering(criterion: object, group: dist.ProcessGroup | None) -> None:
    """Check that a criterion that gathers the images of all processes is used with all of them."""
    if not (getattr(criterion, "gathers_images", False) and dist.is_available() and dist.is_initialized()):
        return
    world, sharing = dist.get_world_size(), 1 if group is None else dist.get_world_size(group)
    if sharing != world:
        raise ValueError(
            f"the loss gathers the images of all {world} processes, but the step's process_group has {sharing}: "
            "use torch.distributed.group.WORLD"
        )


def check_processes(model: nn.Module, table: Table, options: StepOptions, images: int) -> None:
    """Check that processes that share a batch do the same.

    Raises:
        ValueError: their noise would differ, or SyncBatchNorm would wait for a micro-batch that is missing.
    """
    if table.direction != "gradient" and options.ascent == "averaged" and options.generator is None:
        raise ValueError(
            "processes that share their noise need a generator each, seeded alike: pass generator=, or ascent='local'"
        )
    if images < options.micro_batches and any(isinstance(part, nn.SyncBatchNorm) for part in model.modules()):
        raise ValueError(
            f"{options.micro_batches} micro-batches of {images} images: SyncBatchNorm needs as many in every process; "
            "lower micro_batches"
        )


_MOST_CLASSIFIER_ROWS = 1000
"""With ImageNet-LT's 1000 classes and 2048 features, their gradients take 8 GB in float32; the copies as much."""


def check_classifier_rows(rows: Sequence[BatchRow]) -> None:
    """Check that the gradients of the rows that move the classifier fit the memory.

    Raises:
        ValueError: there are too many.
    """
    count = sum(row.scope == "classifier" for row in rows)
    if count > _MOST_CLASSIFIER_ROWS:
        raise ValueError(
            f"{count} rows move the classifier, each with a gradient and a copy of it, so that memory grows with the "
            f"square of the classes; at most {_MOST_CLASSIFIER_ROWS} can: use another method, or one process without "
            "micro-batches, where only classes of the batch count"
        )


def check_parameters(parameters: Sequence[Tensor]) -> None:
    """Check that there are parameters, and that their precision allows small steps.

    Raises:
        ValueError: there are none, or some are in half precision.
    """
    if not parameters:
        raise ValueError("the model has no trainable parameter")
    for half in (torch.float16, torch.bfloat16):
        if any(parameter.dtype == half for parameter in parameters):
            raise ValueError(
                f"parameters in {str(half).removeprefix('torch.')} are too coarse to be perturbed: "
                "keep them in float32, and use autocast"
            )
