"""Is the data loader or the step the bottleneck? `python benchmarks/loading.py RECIPE --data-dir DIR --device cpu`.

Measured separately: the loader without training, and the step on one batch repeated; then both together. Memory is that
of the process and its workers after each epoch.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import psutil
import torch

from ltzoo.cli.arguments import add_data_options, add_files_options, at_least_one, not_below_zero, parse_held_out
from ltzoo.cli.parser import Parser, run
from ltzoo.cli.recipe_options import add_field_options, add_precision_options, requested_recipe
from ltzoo.data.batches import BatchSettings, Delivery, TrainLoader, make_train_batches, mix
from ltzoo.errors import InputError
from ltzoo.evaluate import markdown_table
from ltzoo.recipes import Recipe
from ltzoo.recipes.model import build_model
from ltzoo.train import TrainOptions
from ltzoo.train.device import choose_channels_last, make_accelerator
from ltzoo.train.images import RunImages, load_images
from ltzoo.train.start import find_start
from ltzoo.train.step import Step
from machine import DEVICES, choose_device, choose_threads, describe_machine, synchronize

MIB = 2**20


@dataclass(frozen=True)
class LoadingBenchmark:
    """Settings of the measurement.

    Attributes:
        recipe: the recipe.
        images: the recipe's images.
        device: training device.
        epochs: epochs of the loader alone, and of both together.
        steps: timed steps of the step alone, after one warm-up step.
    """

    recipe: Recipe
    images: RunImages
    device: torch.device
    epochs: int
    steps: int

    def batches(self, workers: int) -> TrainLoader:
        """Make the data loader.

        Raises:
            InputError: the recipe's images are held in memory, so there is no loader.
        """
        recipe, channels_last = self.recipe, choose_channels_last(self.recipe.precision, self.device)
        settings = BatchSettings(self.images.benchmark.data_set, recipe.views, recipe.batch_size, seed=0)
        delivery = Delivery(self.device, channels_last, workers=workers)
        made = make_train_batches(self.images.train, settings, delivery)
        if not isinstance(made, TrainLoader):
            raise InputError(f"{recipe.name} holds its images in memory; choose a recipe of images in files")
        return made

    def step(self) -> Step:
        """Make the step of the recipe's first epoch."""
        accelerator = make_accelerator(self.recipe.precision, (), Path())
        channels_last = choose_channels_last(self.recipe.precision, self.device)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        model = build_model(self.recipe, data_set=self.images.benchmark.data_set)
        model = model.to(self.device).to(memory_format=memory_format)
        return Step(self.recipe, self.images.benchmark.class_counts, model, accelerator, 0, None)

    def loader_alone(self, workers: int) -> list[float]:
        """Images per second of each epoch; the workers are started before the first."""
        batches = self.batches(workers)
        list(islice(batches.epoch(0), 1))
        rates = []
        for epoch in range(self.epochs):
            began = time.perf_counter()
            for _ in batches.epoch(epoch):
                pass
            synchronize(self.device)
            rates.append(len(batches.labels) / (time.perf_counter() - began))
        return rates

    def step_alone(self) -> list[float]:
        """Images per second of each step on one batch."""
        step = self.step()
        images, targets = next(iter(self.batches(0).epoch(0)))
        rates = []
        for number in range(1 + self.steps):
            began = time.perf_counter()
            step(*mix(images.clone(), targets, self.recipe.augmentation, number))
            synchronize(self.device)
            rates.append(len(targets) / (time.perf_counter() - began))
        return rates[1:]

    def together(self, workers: int) -> tuple[list[float], list[int]]:
        """Images per second of each epoch, and the bytes in use after it."""
        step, batches = self.step(), self.batches(workers)
        rates, memory = [], []
        for epoch in range(self.epochs):
            began, seen = time.perf_counter(), 0
            for number, (images, targets) in enumerate(batches.epoch(epoch)):
                step(*mix(images, targets, self.recipe.augmentation, epoch, number))
                seen += len(targets)
            synchronize(self.device)
            rates.append(seen / (time.perf_counter() - began))
            memory.append(_memory())
        return rates, memory


def _memory() -> int:
    """Bytes used by this process and its workers; shared memory counts once."""
    process = psutil.Process()
    return sum(each.memory_full_info().pss for each in (process, *process.children(recursive=True)))


def _rate(rates: Sequence[float]) -> str:
    return f"{median(rates):.4g} ({min(rates):.4g} .. {max(rates):.4g})"


def report(bench: LoadingBenchmark, workers: Sequence[int]) -> str:
    """Measure, and format as Markdown."""
    alone = bench.step_alone()
    epochs = f"{bench.epochs} epochs"
    rows = [["the step alone", _rate(alone), f"{bench.steps} steps of {bench.recipe.batch_size}", ""]]
    for count in workers:
        loader = bench.loader_alone(count)
        binds = "loader" if median(loader) < median(alone) else "step"
        rows.append(
            [f"the loader alone, {count} workers", _rate(loader), f"{bench.epochs} epochs", f"the {binds} binds"]
        )
        both, memory = bench.together(count)
        after = ", ".join(f"{used / MIB:.0f}" for used in memory)
        rows.append([f"both, {count} workers", _rate(both), epochs, f"MiB after each: {after}"])
    return markdown_table(["", "images/s", "n", ""], rows)


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(
        prog="benchmarks/loading.py",
        description="Measure images per second of the data loader and of the training step.",
    )
    parser.add_argument("recipe", help="a recipe of images in files")
    parser.add_argument("--device", required=True, choices=DEVICES)
    add_data_options(parser)
    add_files_options(parser)
    parser.add_argument("--hold-out", type=parse_held_out, metavar="N", help="as in training")
    parser.add_argument("--image-cache", type=Path, metavar="DIR", help="as in training")
    parser.add_argument("--workers", type=not_below_zero, nargs="+", default=[0, 1, 2], metavar="N")
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N", help="epochs (%(default)s)")
    parser.add_argument(
        "--steps", type=at_least_one, default=5, metavar="N", help="steps of the step alone (%(default)s)"
    )
    add_precision_options(add_field_options(parser))
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    device = choose_device(arguments.device)
    choose_threads(None)
    recipe = requested_recipe(arguments.recipe, arguments)
    options = TrainOptions(
        data_dir=arguments.data_dir,
        output=Path(),
        hold_out=arguments.hold_out,
        image_root=arguments.image_root,
        image_column=arguments.image_column,
        label_column=arguments.label_column,
        image_cache=arguments.image_cache,
        class_folder=arguments.class_folder,
        image_suffix=arguments.image_suffix,
    )
    images = load_images(recipe, find_start(recipe, options), options, print)
    bench = LoadingBenchmark(recipe, images, device, arguments.rounds, arguments.steps)
    measured = report(bench, arguments.workers)
    print(f"{recipe.name}, {len(images.train.labels)} images; {describe_machine(device)}\n\n{measured}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
