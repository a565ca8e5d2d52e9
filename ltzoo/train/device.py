"""Device, precision and processes through Accelerate; CPU threads and worker processes."""

import atexit
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import accelerate
import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch import nn

from ltzoo.data import DataSet
from ltzoo.errors import InputError
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
