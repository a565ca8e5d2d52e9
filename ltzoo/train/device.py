"""Device, precision and processes through Accelerate; CPU threads and worker processes; the forward pass."""

import atexit
import os
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import accelerate
import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from ltzoo.data import DataSet
from ltzoo.errors import InputError
from ltzoo.losses import Loss, Outputs
from ltzoo.models.heads import classifier_of
from ltzoo.recipes import Recipe
from ltzoo.recipes.recipe import Precision

_FEWEST_PIXELS_FOR_THREADS = 100_000
"""Pixels per batch. A batch of CIFAR has four times as many, one of the digits a tenth."""

_SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
"""Modes of Accelerate that shard the weights."""

_MIXED_PRECISION = {"float32": "no", "tf32": "no", "bfloat16": "bf16", "float16": "fp16"}


def make_accelerator(precision: str, trackers: Sequence[str], folder: Path) -> Accelerator:
    """Set Accelerate up.

    Args:
        precision: precision of the forward passes, see `Recipe.precision`.
        trackers: names of Accelerate's trackers.
        folder: the folder that trackers write to.

    Raises:
        InputError: a tracker is not installed, the device does not support the precision, or Accelerate is configured
            to shard weights.
    """
    precision = choose_precision(precision)
    for word in _SHARDED:
        if os.environ.get(f"ACCELERATE_USE_{word}", "false").lower() in ("true", "1"):
            raise InputError(
                f"Accelerate is configured for {word}, which shards the weights, but a perturbed step needs all of "
                "them; launch without sharding (accelerate launch --multi_gpu, or torchrun)"
            )
    known = {str(tracker) for tracker in accelerate.tracking.get_available_trackers()}
    for tracker in trackers:
        if tracker not in known:
            raise InputError(f"the tracker {tracker!r} is not installed; install it with pip, or leave it out")
    try:
        accelerator = Accelerator(
            mixed_precision=_MIXED_PRECISION[precision],
            log_with=list(trackers) or None,
            project_dir=folder if trackers else None,
        )
    except ValueError as error:
        raise InputError(f"precision {precision} cannot be used here: {error}") from error
    # Without this check Accelerate, and a device without TF32, would silently train in float32.
    missing = not _has_tf32(accelerator.device) if precision == "tf32" else not accelerator.native_amp
    if precision != "float32" and missing:
        raise InputError(f"{precision} cannot be used on {accelerator.device}; use bfloat16 or float32")
    if accelerator.num_processes > 1:
        # At exit, not at the end of a run as Accelerate does it: another run may follow.
        atexit.register(accelerator.state.destroy_process_group)
    return accelerator


def choose_precision(asked: str) -> Precision:
    """Return a precision, and for `auto` that of this machine: bfloat16 on a GPU that has it, else float32."""
    if asked != "auto":
        return cast(Precision, asked)
    has_bfloat16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 else "float32"


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def choose_channels_last(precision: str, device: torch.device) -> bool:
    """Choose the memory format: channels-last is faster on CPUs and, in reduced precision, on tensor cores."""
    return device.type == "cpu" or precision in ("bfloat16", "float16")


def cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: torch.device) -> str:
    """Return the device's product name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    processors = Path("/proc/cpuinfo")
    if processors.is_file():
        for line in processors.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def choose_threads(recipe: Recipe, data_set: DataSet, processes: int = 1) -> int:
    """Choose the number of CPU threads. It must not depend on the launcher, since it affects how sums are rounded.

    Threads synchronise after every operation, which costs more than it gains if images are small.
    """
    pixels = recipe.batch_size * data_set.channels * data_set.image_size**2
    return 1 if pixels < _FEWEST_PIXELS_FOR_THREADS else max(1, cores() // processes)


def choose_workers(processes: int) -> int:
    """Choose the number of worker processes per training process: its share of the cores, at most 8."""
    return max(1, min(8, cores() // max(1, processes)))


def synchronize_batchnorm(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Convert BatchNorm to SyncBatchNorm if there are several processes.

    Raises:
        InputError: torch has no SyncBatchNorm on the device.
    """
    if accelerator.device.type != "cuda":
        raise InputError(f"--sync-bn needs CUDA, but the device is {accelerator.device.type}; leave it out")
    return convert_sync_batchnorm(model) if accelerator.num_processes > 1 else model


def feature_size(model: nn.Module) -> int | None:
    """Return the size of the features that a timm model's classifier sees, None for other models."""
    # Some heads have a layer of their own before the classifier, whose size timm names apart.
    return getattr(model, "head_hidden_size", None) or getattr(model, "num_features", None)


def model_outputs(model: nn.Module, asks: Collection[str]) -> Callable[[Tensor], Any]:
    """Return a model's forward pass with all outputs that a loss asks for.

    Args:
        model: a timm model.
        asks: fields of `Outputs` beside the logits.

    Returns:
        A function from images to the logits, (B, C), if `asks` is empty; else to `Outputs`.

    Raises:
        InputError: timm's models do not provide such outputs.
    """
    if not asks:
        return model
    provided = _provided(model)
    if not set(asks) <= set(provided):
        raise InputError(
            f"{type(model).__name__} provides {' and '.join(['logits', *provided])}, but the loss needs "
            f"{', '.join(sorted(asks))}; use another loss"
            + (", or a network with experts such as resnet32_3experts_cifar" if "experts" in asks else "")
        )
    timm_model = cast(Any, model)

    def forward(images: Tensor) -> Outputs:
        features = timm_model.forward_head(timm_model.forward_features(images), pre_logits=True)
        return _classified(timm_model.get_classifier(), features, asks)

    return forward


def _provided(model: nn.Module) -> list[str]:
    """Name the fields of `Outputs` beside the logits that a timm model provides."""
    classifier = classifier_of(model)
    features = ["features"] if hasattr(model, "forward_head") and not isinstance(classifier, nn.ModuleList) else []
    return [*features, *(["experts"] if features and hasattr(classifier, "experts") else [])]


def _classified(classifier: Any, features: Tensor, asks: Collection[str]) -> Outputs:
    """Classify features; with the logits of each expert if the loss asks for them."""
    if "experts" not in asks:
        return Outputs(classifier(features), features=features)
    experts = classifier.experts(features)
    return Outputs(experts.mean(dim=1), features=features, experts=experts)


def head_outputs(model: nn.Module, asks: Collection[str]) -> Callable[[Tensor], Any]:
    """Return the forward pass of a model's classifier alone, from features; otherwise as `model_outputs`."""
    classifier = classifier_of(model)
    if not asks:
        return classifier
    return lambda features: _classified(classifier, features, asks)


def views_as_one_batch(forward: Callable[[Tensor], Any], loss: Loss) -> Callable[[Tensor], Any]:
    """Let a model see the views of each image as one batch, and give its outputs the views as second dimension.

    BatchNorm normalises by all views together.

    Args:
        forward: maps images (B, channels, H, W) to logits (B, C), or to `Outputs`.
        loss: says how many views there are, how many of them the model sees, and whether it asks for the images.

    Returns:
        A function from batches with V views, (B, V, channels, H, W), to logits (B, M, C) or `Outputs` of the first M
        views; with one view from (B, channels, H, W) to (B, C).
    """
    if loss.views == 1 and "images" not in loss.asks:
        return forward

    def of_views(images: Tensor) -> Any:
        outputs = forward(images) if loss.views == 1 else _unflattened(forward, images[:, : loss.model_views])
        if "images" not in loss.asks:
            return outputs
        if isinstance(outputs, Tensor):
            return Outputs(outputs, images=images)
        return replace(outputs, images=images)

    return of_views


def _unflattened(forward: Callable[[Tensor], Any], views: Tensor) -> Any:
    """Run a forward pass on views (B, M, channels, H, W), and give its outputs two dimensions for them."""
    # Where views are left out, those that the model sees are copied, in the format of the batch.
    memory_format = torch.contiguous_format if views[0].is_contiguous() else torch.channels_last
    return forward(views.flatten(0, 1).contiguous(memory_format=memory_format)).unflatten(0, views.shape[:2])


def asked_of_model(loss: Loss) -> frozenset[str]:
    """Return the outputs beside the logits that a loss needs from the model itself: all but the images."""
    return loss.asks - {"images"}


def make_forward(
    model: nn.Module,
    accelerator: Accelerator,
    compile_backend: str | None,
    loss: Loss | None = None,
    on_features: bool = False,
) -> Callable[[Tensor], Any]:
    """Wrap a model's forward pass in autocast and, if requested, `torch.compile`; its outputs are float32.

    Args:
        model: the model, on its device.
        accelerator: provides autocast in the run's precision.
        compile_backend: backend of `torch.compile`, None for eager.
        loss: what the outputs are for, see `model_outputs` and `views_as_one_batch`; None for logits of single images.
        on_features: whether it is the classifier's alone, from features in place of images.
    """
    asks = () if loss is None else asked_of_model(loss)
    compiled = head_outputs(model, asks) if on_features else model_outputs(model, asks)
    if compile_backend is not None:
        # The pass at w is differentiated once per row of the table; a donated buffer would be gone after the first.
        torch._functorch.config.donated_buffer = False
        compiled = torch.compile(compiled, backend=compile_backend)

    def forward(images: Tensor) -> Any:
        with accelerator.autocast():
            return compiled(images).float()

    return forward if loss is None else views_as_one_batch(forward, loss)
