"""How a run computes: device, precision and processes through Accelerate, CPU threads, the forward pass."""

import atexit
import copy
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import accelerate
import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from ltzoo.data import Benchmark, DataSet
from ltzoo.errors import InputError
from ltzoo.evaluate import predict
from ltzoo.recipes import Recipe

_PIXELS_WORTH_THREADS = 100_000
"""A batch of CIFAR's has four times as many, one of the digits' a tenth."""

_SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
"""What Accelerate can be set to that shards the weights."""

_MIXED_PRECISION = {"float32": "no", "tf32": "no", "bfloat16": "bf16", "float16": "fp16"}


def make_accelerator(precision: str, trackers: Sequence[str], folder: Path) -> Accelerator:
    """Set Accelerate up.

    Args:
        precision: of the forward passes, as recipes name it.
        trackers: names of Accelerate's trackers.
        folder: where trackers write.

    Raises:
        InputError: a tracker is not installed, the device lacks the precision, or Accelerate is set to shard weights.
    """
    for word in _SHARDED:
        if os.environ.get(f"ACCELERATE_USE_{word}", "false").lower() in ("true", "1"):
            raise InputError(
                f"Accelerate is set to {word}, which shards the weights, and a step climbs along the gradient of all; "
                "launch plain processes (accelerate launch --multi_gpu, or torchrun)"
            )
    known = {str(tracker) for tracker in accelerate.tracking.get_available_trackers()}
    for tracker in trackers:
        if tracker not in known:
            raise InputError(f"the tracker {tracker!r} is not installed; pip install it, or leave it out")
    try:
        accelerator = Accelerator(
            mixed_precision=_MIXED_PRECISION[precision],
            log_with=list(trackers) or None,
            project_dir=folder if trackers else None,
        )
    except ValueError as error:
        raise InputError(f"precision {precision} cannot be used here: {error}") from error
    # Accelerate would train in float32 and say nothing, as would a device without TF32.
    missing = not _has_tf32(accelerator.device) if precision == "tf32" else not accelerator.native_amp
    if precision != "float32" and missing:
        raise InputError(f"{precision} cannot be used on {accelerator.device}; use bfloat16 or float32")
    if accelerator.num_processes > 1:
        # Not at a run's end, as Accelerate would: another may follow.
        atexit.register(accelerator.state.destroy_process_group)
    return accelerator


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def choose_channels_last(precision: str, device: torch.device) -> bool:
    """Choose the memory format: CPUs, and the tensor cores of reduced precision, are faster with channels last."""
    return device.type == "cpu" or precision in ("bfloat16", "float16")


def cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: torch.device) -> str:
    """Name the device as its maker does."""
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
    """Choose the CPU threads, whatever launches the run: how many there are decides how sums are rounded.

    Threads wait for each other after every operation; a batch of small images is done before they have met.
    """
    pixels = recipe.batch_size * data_set.channels * data_set.image_size**2
    return 1 if pixels < _PIXELS_WORTH_THREADS else max(1, cores() // processes)


def choose_workers(processes: int) -> int:
    """Choose how many processes decode images for each that trains: the machine's cores are shared, up to 8 each."""
    return max(1, min(8, cores() // max(1, processes)))


def synchronize_batchnorm(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Let BatchNorm see the images of all processes.

    Raises:
        InputError: torch has no such BatchNorm on the device.
    """
    if accelerator.device.type != "cuda":
        raise InputError(f"--sync-bn is for CUDA, torch has it not on {accelerator.device.type}; leave it out")
    return convert_sync_batchnorm(model) if accelerator.num_processes > 1 else model


def try_out(
    model: nn.Module, recipe: Recipe, benchmark: Benchmark, compile_backend: str | None, smallest: int = 2
) -> None:
    """See, before anything is written, that every part of a recipe works with the others.

    Args:
        model: the recipe's.
        recipe: what is to be trained.
        benchmark: its images and class counts.
        compile_backend: backend of `torch.compile`, None for eager.
        smallest: images of the smallest batch of an epoch.

    Raises:
        InputError: the model does not take the benchmark's images, the loss or the perturbation fails, or torch does
            not know the backend.
    """
    backends = torch.compiler.list_backends(exclude_tags=())
    if compile_backend is not None and compile_backend not in backends:
        raise InputError(f"torch.compile has no backend {compile_backend!r}; there are {', '.join(backends)}")
    data_set, counts, epochs = benchmark.data_set, benchmark.class_counts, recipe.schedule.epochs
    images = torch.zeros(2, data_set.channels, data_set.image_size, data_set.image_size)
    targets = torch.zeros(2, dtype=torch.int64)
    try:
        logits = predict(model, [(images, targets)]).logits
    except Exception as error:  # architectures differ in what they raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{recipe.architecture} does not take images of {tuple(images.shape[1:])}: {reason}"
        ) from error
    alone = smallest // min(recipe.micro_batches, smallest) == 1
    if alone and recipe.trainable.batchnorm != "frozen":
        part, flag = (
            ("the last batch of an epoch", "batch-size") if smallest == 1 else ("a micro-batch", "micro-batches")
        )
        _try_one(model, images[:1], part, flag)
    try:
        found = tuple(recipe.loss.bind(counts)(logits, targets).shape)
    except Exception as error:  # a loss of the user's can raise anything
        raise InputError(f"the loss {recipe.loss.name!r} fails: {type(error).__name__}: {error}") from error
    if found != (2,):
        raise InputError(f"the loss {recipe.loss.name!r} must give one value an image, (2,) for two, not {found}")
    try:
        for epoch in range(epochs):
            recipe.perturbation.table(counts, epoch, epochs)
            recipe.perturbation.radii(epoch, epochs)
    except Exception as error:  # and so can a perturbation
        found_in = f"in epoch {epoch + 1}: {type(error).__name__}: {error}"
        raise InputError(f"the perturbation {recipe.perturbation.name!r} fails {found_in}") from error


def _try_one(model: nn.Module, image: Tensor, part: str, flag: str) -> None:
    """See that a model can be trained on one image; where one pixel is left of it, BatchNorm has no variance."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(model).train()(image)
    except ValueError as error:
        raise InputError(
            f"{part} has one image, and the model cannot be trained on one ({error}); choose another --{flag}"
        ) from error


def make_forward(model: nn.Module, accelerator: Accelerator, compile_backend: str | None) -> Callable[[Tensor], Tensor]:
    """Wrap the model's forward pass in autocast, and compile it where asked for; logits come out as float32."""
    compiled: Callable[[Tensor], Tensor] = model
    if compile_backend is not None:
        # The pass at w is differentiated once a group; a donated buffer would be gone after the first time.
        torch._functorch.config.donated_buffer = False
        compiled = torch.compile(model, backend=compile_backend)

    def forward(images: Tensor) -> Tensor:
        with accelerator.autocast():
            return compiled(images).float()

    return forward
