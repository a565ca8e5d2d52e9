"""How long a training run will take, from one of its steps and one batch of its measured images."""

import gc
import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ltzoo.data import temporary_seed
from ltzoo.data.batches import Delivery, make_eval_batches
from ltzoo.errors import counted
from ltzoo.evaluate import predict, tf32
from ltzoo.recipes import Recipe
from ltzoo.train import RunFolder, TrainOptions
from ltzoo.train.device import cores
from ltzoo.train.device_errors import as_input_error
from ltzoo.train.preparation import Preparation, prepare_run
from ltzoo.train.processes import join_processes
from ltzoo.train.run_resources import RunResources
from ltzoo.train.tune import Setting, Trial

_LONG = 3.0
"""Seconds from which a step is timed once; the first of shorter ones is slowed down by what is set up in it."""
_REPEATED = 3
_LAST_MEASUREMENTS = 3
"""How often a finished run is measured: in float32, in float16, and at its best epoch."""


@dataclass(frozen=True)
class RunTime:
    """What the time of a run is made of.

    Attributes:
        device: where it runs.
        steps: how many it takes.
        step: seconds of one.
        read: seconds to read the images of one, as far as the step waits for them.
        measurements: how often accuracy is measured.
        measurement: seconds of one, its images' reading included.
    """

    device: str
    steps: int
    step: float
    read: float
    measurements: int
    measurement: float

    @property
    def seconds(self) -> float:
        """The whole run."""
        return self.steps * (self.step + self.read) + self.measurements * self.measurement

    def __str__(self) -> str:
        measured = f"{self.measurements} measurements of accuracy of {_short(self.measurement)}"
        steps = f"{counted(self.steps, 'step')} of {_short(self.step)} and {_short(self.read)} of waiting for images"
        return f"about {in_words(self.seconds)} on {self.device}: {steps}, {measured}"


def estimate_run_time(recipe: Recipe, options: TrainOptions, folder: RunFolder) -> RunTime | None:
    """Prepare a run as training does, take a step of it, and measure a batch; nothing is written.

    Timm's weights are not downloaded, since a step takes as long with fresh ones. It is one of the middle of the run,
    neither compiled nor captured as a CUDA graph: usually the slowest.

    Args:
        recipe: the recipe to train.
        options: data, output and seed.
        folder: the run's folder; a run that lies in it is not read.

    Returns:
        The time; None for a run that does not train the network in steps on images.

    Raises:
        InputError: data, folder, weights, model or device cannot be used, as for training.
    """
    # A stream and random states of its own, as each run has, so that the run after it computes as if it were the first.
    with tf32(recipe.precision == "tf32"), RunResources(join_processes().device).in_use():
        try:
            prepared = prepare_run(recipe, replace(options, tune=False), folder, only_timed=True)
            if recipe.head.computed or options.cache_features is not None:
                return None
            with temporary_seed(options.seed):
                found = _measure(prepared)
        except Exception as error:  # whatever a model, a loss or the device raises
            explained = as_input_error(error, recipe.name)
            if explained is None or explained is error:
                raise
            raise explained from error
    del prepared
    gc.collect()
    if found.device != "cpu":
        torch.accelerator.empty_cache()
    return found


def _measure(prepared: Preparation) -> RunTime:
    recipe, options, images = prepared.recipe, prepared.options, prepared.images
    device, workers = prepared.accelerator.device, options.workers or 0
    began = time.perf_counter()
    trial = Trial(recipe, options, images, prepared.accelerator, lambda _: prepared.model)
    read = time.perf_counter() - began
    setting = Setting(torch.get_num_threads(), bool(options.channels_last))

    def step() -> float:
        began = time.perf_counter()
        trial.step(setting)
        _wait(device)
        return time.perf_counter() - began

    seconds = step()
    if seconds < _LONG:
        seconds = min(step() for _ in range(_REPEATED))
    interval, epochs = options.val_interval, recipe.schedule.epochs
    measured = sum(interval.measures(epoch, epochs) for epoch in range(1, epochs + 1))
    delivery = Delivery(device, bool(options.channels_last))
    began = time.perf_counter()
    batch = next(iter(make_eval_batches(images.measured, images.benchmark.data_set, delivery)))
    read_measured = time.perf_counter() - began
    forward = _forward(prepared, batch)
    batches = len(images.measured.labels) / len(batch[1])
    return RunTime(
        device=device.type,
        steps=trial.steps,
        step=seconds,
        read=_waited_for(read, seconds, workers, device),
        measurements=measured + _LAST_MEASUREMENTS,
        measurement=batches * (forward + _waited_for(read_measured, forward, workers, device)),
    )


def _forward(prepared: Preparation, batch: tuple[Tensor, Tensor]) -> float:
    began = time.perf_counter()
    predict(prepared.model, [batch])
    return time.perf_counter() - began


def _waited_for(read: float, compute: float, workers: int, device: torch.device) -> float:
    """Return for how long a batch is waited for that takes `read` seconds in one process."""
    if not workers:
        return read
    if device.type == "cpu":  # what decodes and what computes share the cores
        return read / min(workers, cores())
    return max(0.0, read / workers - compute)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def in_words(seconds: float) -> str:
    """Format a duration: `50 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
