"""`--tune`: a short trial, before a run on a CPU, of the settings that decide how fast its steps are.

The trial has a model, an optimizer, a loss and batches of its own and draws no random numbers of the run, so a tuned
run is the same as one that is given the chosen settings by flags.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from ltzoo.data import temporary_seed
from ltzoo.data.batches import Delivery, in_memory_format, make_train_batches, mix_batch
from ltzoo.errors import InputError, counted, first_line
from ltzoo.recipes import Recipe
from ltzoo.train.device import cores
from ltzoo.train.images import RunImages, batch_settings
from ltzoo.train.options import TrainOptions
from ltzoo.train.step import Step

_ROUNDS = 3
"""How often the settings are timed in turn; the fastest step of each counts, since other work slows single steps."""
_SECONDS = 20.0
"""After the first round, another one begins only if the trial has taken less than this."""
_SLOW = 2.0
"""A setting is given up if its first step takes this many times as long as the fastest first step; with it all that
have as many threads or more, if fewer threads are that much faster."""
_BACKEND = "inductor"
_COMPILED_FROM = 3600.0
"""Seconds of training from which compilation is tried; it takes about a minute for a small network."""
_COMPILATIONS = 3
"""Forward passes that a run compiles: of the usual batch, of the smaller last one, and of evaluation."""


@dataclass(frozen=True)
class Setting:
    """A setting of what decides how fast a step is on a CPU.

    Attributes:
        threads: CPU threads.
        channels_last: memory format of images and weights.
        compile_backend: backend of `torch.compile`, None for eager.
    """

    threads: int
    channels_last: bool
    compile_backend: str | None = None

    def __str__(self) -> str:
        words = [counted(self.threads, "thread")]
        words += ["channels-last"] if self.channels_last else []
        return ", ".join(words + ([f"compiled by {self.compile_backend}"] if self.compile_backend else []))


def choose(options: TrainOptions, setting: Setting) -> TrainOptions:
    """Fill in a tuned setting where the user gave no value."""
    return replace(
        options,
        threads=setting.threads if options.threads is None else options.threads,
        channels_last=setting.channels_last if options.channels_last is None else options.channels_last,
        compile_backend=setting.compile_backend if options.compile_backend is None else options.compile_backend,
    )


def recorded_choice(options: TrainOptions, recorded: Mapping[str, Any]) -> TrainOptions:
    """Fill in the choice of a tuned run that is resumed.

    Args:
        options: of the resuming command.
        recorded: how the existing run computes, see `RunFolder.recorded`.
    """
    return choose(options, Setting(recorded["threads"], recorded["channels_last"], recorded["torchcompile"]))


def check_tunable(recipe: Recipe, options: TrainOptions, accelerator: Accelerator) -> None:
    """Check that there is something to tune.

    Raises:
        InputError: the run takes no steps of the whole network, the device is not a CPU, there are several processes,
            or the user has fixed every setting.
    """
    if options.cache_features is not None or recipe.head.computed:
        raise InputError(
            "--tune times training steps of the whole network, which this run does not take: its head is computed or "
            "trained on features; leave --tune out"
        )
    if accelerator.device.type != "cpu":
        raise InputError(
            f"--tune tries threads and memory formats of a CPU, but the device is {accelerator.device.type}; "
            "leave it out"
        )
    if accelerator.num_processes > 1:
        raise InputError(
            f"--tune measures a process that has the CPU to itself, but there are {accelerator.num_processes}; leave "
            "it out, or launch one"
        )
    if None not in (options.threads, options.channels_last, options.compile_backend):
        raise InputError(
            "--tune has nothing to try: --threads, --channels-last and --torchcompile are given; leave one of them out"
        )


def candidates(options: TrainOptions) -> list[Setting]:
    """List the settings to try, without those that the user has fixed.

    All are eager, also where the user compiles: each would take a compilation of its own.
    """
    doubled = [2**k for k in range(cores().bit_length()) if 2**k < cores()]
    threads = [options.threads] if options.threads else [*doubled, cores()]
    formats = [True, False] if options.channels_last is None else [options.channels_last]
    return [Setting(*each) for each in product(threads, formats)]


def compilation_pays(eager: float, compiled: float, compilation: float, steps: int) -> bool:
    """Return whether compiled steps save more than their compilation takes.

    Args:
        eager: seconds of an eager step.
        compiled: seconds of a compiled step.
        compilation: seconds of one compilation.
        steps: steps of the run.
    """
    return compiled * steps + _COMPILATIONS * compilation < eager * steps


class Trial:
    """Times settings on a run's own model, batch and step.

    Args:
        recipe: the recipe to train.
        options: the user's options.
        images: the training images.
        accelerator: CPU and precision.
        make_model: builds the run's model in the memory format of the options that it is given.
    """

    def __init__(
        self,
        recipe: Recipe,
        options: TrainOptions,
        images: RunImages,
        accelerator: Accelerator,
        make_model: Callable[[TrainOptions], nn.Module],
    ) -> None:
        self.recipe, self.options, self.accelerator, self.make_model = recipe, options, accelerator, make_model
        self.counts = images.benchmark.class_counts
        settings = batch_settings(recipe, images.benchmark.data_set, options.seed)
        batches = make_train_batches(images.train, settings, Delivery(accelerator.device))
        self.steps = len(batches) * recipe.schedule.epochs
        self.batch = mix_batch(*next(iter(batches.epoch(0))), recipe.views, options.seed)
        self.made: dict[tuple[bool, str | None], Step] = {}

    def fastest(self, say: Callable[[str], None]) -> tuple[Setting, dict[Setting, float]]:
        """Find the fastest setting.

        Returns:
            The setting, and the seconds per step of every setting that was tried.
        """
        tried = self.measure(candidates(self.options))
        best = min(tried, key=lambda setting: tried[setting])
        whole_run = tried[best] * self.steps
        if self.options.compile_backend is None and whole_run >= _COMPILED_FROM:
            say(f"an eager run would take about {whole_run / 3600:.3g} hours of steps: trying torch.compile")
            compiled = replace(best, compile_backend=_BACKEND)
            began = time.perf_counter()
            try:
                self.step(compiled)
                compilation = time.perf_counter() - began
                # Eager steps once more, since the machine may have become faster or slower in between.
                again = self.measure([best, compiled])
            except RuntimeError as error:  # without a C++ compiler, for example
                say(f"torch.compile fails here, so steps stay eager: {first_line(error)}")
                return best, tried
            finally:
                # What was compiled for the trial must not guide the compilation for the run.
                torch.compiler.reset()
            tried |= again | {best: min(tried[best], again[best])}
            if compilation_pays(tried[best], tried[compiled], compilation, self.steps):
                best = compiled
        return best, tried

    def measure(self, settings: Sequence[Setting]) -> dict[Setting, float]:
        """Time settings in turn; returns the seconds of the fastest step of each, or of the first if it is slow.

        Args:
            settings: in ascending order of threads.
        """
        began = time.perf_counter()
        # First steps are slower, the very first most: libraries choose their kernels, and memory is allocated.
        self.step(settings[0])
        first: dict[Setting, float] = {}
        for setting in settings:
            # Threads that find no free core wait for each other, and a step can take ten times as long.
            fewer = [seconds for other, seconds in first.items() if other.threads < setting.threads]
            first[setting] = self.step(setting)
            if fewer and first[setting] > _SLOW * min(fewer):
                break
        left = [setting for setting in first if first[setting] <= _SLOW * min(first.values())]
        taken: dict[Setting, float] = dict.fromkeys(left, math.inf)
        for number in range(_ROUNDS):
            if number and time.perf_counter() - began > _SECONDS:
                break
            for setting in left:
                taken[setting] = min(taken[setting], self.step(setting))
        return first | taken

    def step(self, setting: Setting) -> float:
        """Take a step; returns its seconds."""
        key = setting.channels_last, setting.compile_backend
        if key not in self.made:
            model = self.make_model(choose(self.options, setting))
            self.made[key] = Step(
                self.recipe, self.counts, model, self.accelerator, self.options.seed, setting.compile_backend
            )
            # Stages of a recipe differ in their passes; that in the middle of the run is usually the longest.
            self.made[key].begin(self.recipe.schedule.epochs // 2)
        memory_format = torch.channels_last if setting.channels_last else torch.contiguous_format
        pixels, targets, weights = self.batch
        pixels = in_memory_format(pixels, memory_format)
        torch.set_num_threads(setting.threads)
        began = time.perf_counter()
        self.made[key](pixels, targets, weights)
        return time.perf_counter() - began


def tune(
    recipe: Recipe,
    options: TrainOptions,
    images: RunImages,
    accelerator: Accelerator,
    make_model: Callable[[TrainOptions], nn.Module],
    say: Callable[[str], None],
) -> tuple[TrainOptions, dict[str, float]]:
    """Try the settings that the user left open, and choose the fastest.

    Args:
        recipe: see `Trial`.
        options: see `Trial`.
        images: see `Trial`.
        accelerator: see `Trial`.
        make_model: see `Trial`.
        say: called with a line about the choice.

    Returns:
        The options with the choice filled in, and for the run's record the milliseconds per step of every setting that
        was tried.
    """
    before = torch.get_num_threads()
    try:
        with temporary_seed(options.seed):
            best, tried = Trial(recipe, options, images, accelerator, make_model).fastest(say)
    finally:
        torch.set_num_threads(before)
    ms = {str(setting): round(1000 * seconds, 1) for setting, seconds in tried.items()}
    others = "; ".join(f"{words}: {taken:g}" for words, taken in ms.items() if words != str(best))
    say(f"tuned: {best}: {ms[str(best)]:g} ms per step{f' ({others})' if others else ''}")
    return choose(options, best), ms
