"""How fast the machine is: matrix products, copies in memory, training steps, and steps of several runs at once.

All functions use the device, so each belongs into a process of its own.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ltzoo.doctor.machine import usual_device
from ltzoo.doctor.report import Speed
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import tf32
from ltzoo.recipes import override
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe
from ltzoo.train.cuda_graph import CapturedStep, why_not_captured
from ltzoo.train.device import choose_channels_last, make_accelerator
from ltzoo.train.run_resources import RunResources
from ltzoo.train.step import Step

RECIPE = "resnet32_cifar100lt_ce_sgd"
"""The recipe whose steps are timed: a batch of 128 images of 32 x 32 pixels."""

_DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_SIZES = (256, 512, 1024, 2048, 4096, 8192)
_LONG_ENOUGH = 0.005
"""Seconds from which a single operation is timed well; smaller ones are overshadowed by their launch."""
_COPY_MB = {"cpu": 256, "cuda": 2048}


def measure_precision(precision: str, threads: int | None, capture: bool) -> Speed:
    """Time matrix products and training steps in a precision.

    Args:
        precision: as recipes name it.
        threads: CPU threads; None on other devices.
        capture: whether steps are run as CUDA graphs where that is possible.
    """
    device, why = usual_device(), ""
    if threads is not None:
        torch.set_num_threads(threads)
    with tf32(precision == "tf32"):
        try:
            gflops = products_gflops(device, _DTYPES[precision])
        except RuntimeError as error:
            gflops, why = None, f"matrix products fail: {first_line(error)}"
        try:
            step = training_step(precision, capture, RunResources(device))
        except InputError as error:
            return Speed(precision, gflops, None, threads, False, str(error).split("; ")[0])
        images, targets = batch(device)
        step(images, targets)
        ms = 1000 * seconds_of(lambda: step(images, targets), device, 0.5)
    if not step.end():
        return Speed(precision, gflops, None, threads, False, "weights are not finite after a few steps")
    return Speed(precision, gflops, ms, threads, isinstance(step, CapturedStep), why)


def products_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the GFLOP/s of square matrix products, of the largest size that is tried."""
    for size in _SIZES:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        torch.mm(a, b)
        if seconds_of(partial(torch.mm, a, b), device, 0.0) > _LONG_ENOUGH:
            break
    return 2 * size**3 / seconds_of(partial(torch.mm, a, b), device, 0.2) / 1e9


def copies_gbs() -> float:
    """Return the GB/s of copies in the device's memory: bytes that are read and bytes that are written."""
    device = usual_device()
    source = torch.ones(_COPY_MB.get(device.type, 256) * 2**20 // 4, device=device)
    copy = source.clone()
    return 2 * 4 * len(source) / seconds_of(lambda: copy.copy_(source), device, 0.3) / 1e9


def steps_at_once(precision: str, capture: bool, counts: Sequence[int], seconds: float) -> dict[int, float]:
    """Measure how many steps per second several runs side by side take together.

    Args:
        precision: as recipes name it.
        capture: whether steps are run as CUDA graphs.
        counts: numbers of runs, ascending.
        seconds: no larger number is begun after this time.

    Returns:
        Number of runs to steps per second, of all of them.
    """
    began, found, device = time.perf_counter(), dict[int, float](), usual_device()
    images, targets = batch(device)
    with tf32(precision == "tf32"):
        runs = list[tuple[RunResources, Step]]()

        def turn() -> None:
            for resources, step in runs:
                with resources.in_use():
                    step(images, targets)

        for count in counts:
            if found and time.perf_counter() - began > seconds:
                break
            while len(runs) < count:
                resources = RunResources(device)
                with resources.in_use():
                    step = training_step(precision, capture, resources)
                    step(images, targets)
                runs.append((resources, step))
            found[count] = count / seconds_of(turn, device, 1.0)
    return found


def training_step(precision: str, capture: bool, resources: RunResources) -> Step:
    """Make the step of the timed recipe, for random images.

    Args:
        precision: as recipes name it.
        capture: whether it is a CUDA graph where that is possible.
        resources: for a step that is one.

    Raises:
        InputError: the device does not support the precision.
    """
    recipe = override(get_recipe(RECIPE), {"precision": precision})
    counts, accelerator = recipe.data.class_counts, make_accelerator(precision, (), Path())
    torch.manual_seed(0)
    layout = torch.channels_last if choose_channels_last(precision, accelerator.device) else torch.contiguous_format
    model = build_model(recipe).to(accelerator.device).to(memory_format=layout)
    arguments = (recipe, counts, model, accelerator, 0, None)
    if capture and why_not_captured(recipe, counts, accelerator) is None:
        return CapturedStep(*arguments, resources=resources)
    return Step(*arguments)


def batch(device: torch.device) -> tuple[Tensor, Tensor]:
    """Make random images and targets of the timed recipe."""
    recipe, generator = get_recipe(RECIPE), torch.Generator().manual_seed(0)
    data_set = recipe.data.data_set
    images = torch.randn(recipe.batch_size, 3, data_set.image_size, data_set.image_size, generator=generator)
    targets = torch.randint(0, len(data_set.class_names), (recipe.batch_size,), generator=generator)
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    return images.to(device).contiguous(memory_format=layout), targets.to(device)


def seconds_of(work: Callable[[], object], device: torch.device, at_least: float) -> float:
    """Time work that is repeated for a while; returns the seconds of the fastest on CPUs, the mean on other devices.

    Other devices are waited for at the end alone, as in training.

    Args:
        work: what is timed; it has been done once before.
        device: where it is done.
        at_least: seconds to repeat it for; it is done at least twice.
    """
    if device.type == "cpu":
        taken, began = list[float](), time.perf_counter()
        while len(taken) < 2 or time.perf_counter() - began < at_least:
            before = time.perf_counter()
            work()
            taken.append(time.perf_counter() - before)
        return min(taken)
    torch.accelerator.synchronize()
    count, began = 1, time.perf_counter()
    while True:
        before = time.perf_counter()
        for _ in range(count):
            work()
        torch.accelerator.synchronize()
        if time.perf_counter() - began >= at_least:
            return (time.perf_counter() - before) / count
        count *= 2
