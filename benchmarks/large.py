"""Estimate device-hours and memory of the large recipes from a few steps: `python benchmarks/large.py --device cpu`.

Recipes of ImageNet-LT and iNaturalist 2018 consist of a few kinds of steps, which differ in the groups that are
perturbed. Each kind is timed on random images and extrapolated to the number of steps of the whole recipe. Data
loading, evaluation and multiple processes are not included. Memory is linear in the batch size, so two small batches
determine that of the recipe's own.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch

from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.cli.recipe_options import add_precision_options
from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, exponential_counts
from ltzoo.data.batches import batch_sizes
from ltzoo.errors import InputError
from ltzoo.evaluate import markdown_table
from ltzoo.recipes import Recipe, override
from ltzoo.recipes.model import build_model, view_of
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.sharpness import Table
from ltzoo.train.device import choose_channels_last, make_accelerator
from ltzoo.train.step import Step
from machine import DEVICES, choose_device, choose_threads, describe_machine, peak_bytes, synchronize

IMAGES = {key: found.train_images for key, found in NATURAL_BENCHMARKS.items() if found.train_images}
"""Training images of the standard lists."""

Kind = tuple[bool, ...]
"""For each group, whether it is perturbed."""

GIB = 2**30


@dataclass(frozen=True)
class Cost:
    """Time and memory of one kind of step.

    Attributes:
        seconds: seconds per image of each measured step.
        fixed: bytes independent of the batch size.
        per_image: additional bytes per image of the batch.
        parameters: number of parameters of the model.
    """

    seconds: Sequence[float]
    fixed: float
    per_image: float
    parameters: int


def simulated(recipe: Recipe) -> Benchmark:
    """Make a benchmark with simulated class counts; only the number of classes and the tail partition matter here."""
    natural = NATURAL_BENCHMARKS[recipe.benchmark]
    counts = exponential_counts(natural.num_classes or 0, 1280, 256)
    return natural.with_counts(counts, tuple(map(str, range(len(counts)))), view_of(recipe))


def kinds_of(recipe: Recipe, benchmark: Benchmark) -> list[Kind]:
    """Return the kind of step of each epoch of a recipe."""
    epochs = recipe.schedule.epochs
    tables = [recipe.perturbation.table(benchmark.class_counts, epoch, epochs) for epoch in range(epochs)]
    return [_kind(table) for table in tables]


def _kind(table: Table) -> Kind:
    return tuple(radius > 0 for radius in table.radii)


def measure(recipe: Recipe, epoch: int, device: torch.device, batch: int, repeats: int) -> Cost:
    """Measure the steps of an epoch.

    Args:
        recipe: the recipe.
        epoch: an epoch with this kind of step.
        device: where to train.
        batch: images per timed step; memory is also measured with half as many.
        repeats: timed steps, after one warm-up step.
    """
    benchmark = simulated(recipe)
    data_set, accelerator = benchmark.data_set, make_accelerator(recipe.precision, (), Path())
    channels_last = choose_channels_last(recipe.precision, device)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def begin() -> Step:
        model = build_model(recipe, data_set=data_set).to(device).to(memory_format=memory_format)
        step = Step(recipe, benchmark.class_counts, model, accelerator, 0, None)
        step.begin(epoch)
        return step

    def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randn(count, data_set.channels, data_set.image_size, data_set.image_size, device=device)
        # From head to tail, so that every group has images.
        targets = torch.linspace(0, data_set.num_classes - 1, count, device=device).long()
        return images.contiguous(memory_format=memory_format), targets

    def one(count: int) -> None:
        begin()(*drawn(count))

    small, large = (peak_bytes(device, partial(one, count)) for count in (batch // 2, batch))
    step, seconds = begin(), []
    for _ in range(1 + repeats):
        images, targets = drawn(batch)
        synchronize(device)
        began = time.perf_counter()
        step(images, targets)
        synchronize(device)
        seconds.append((time.perf_counter() - began) / batch)
    per_image = (large - small) / (batch - batch // 2)
    parameters = sum(parameter.numel() for parameter in step.model.parameters())
    return Cost(seconds[1:], large - batch * per_image, per_image, parameters)


def report(recipes: Sequence[Recipe], device: torch.device, batch: int, repeats: int) -> str:
    """Measure each kind of step once per number of classes, and extrapolate to the recipes, as a Markdown table."""
    known: dict[tuple, Cost] = {}
    rows = []
    for recipe in recipes:
        benchmark, images = simulated(recipe), IMAGES[recipe.benchmark]
        kinds = kinds_of(recipe, benchmark)
        hours, low, high, memory, stages = 0.0, 0.0, 0.0, 0.0, []
        for kind, epochs in Counter(kinds).items():
            key = (recipe.benchmark, recipe.head, recipe.optimizer.kind, kind)
            if key not in known:
                known[key] = measure(recipe, kinds.index(kind), device, batch, repeats)
            cost = known[key]
            seen = epochs * images / 3600
            hours += seen * median(cost.seconds)
            low, high = low + seen * min(cost.seconds), high + seen * max(cost.seconds)
            memory = max(memory, cost.fixed + recipe.batch_size * cost.per_image)
            stages.append(f"{epochs} x {1 / median(cost.seconds):.3g}")
        steps = recipe.schedule.epochs * len(batch_sizes(images, recipe.batch_size, joined=True))
        rows.append(
            [
                f"`{recipe.name}`",
                f"{steps:,}",
                ", ".join(stages),
                f"{hours:.4g} ({low:.4g} .. {high:.4g})",
                f"{cost.parameters / 1e6:.1f} M",
                f"{memory / GIB:.1f}",
            ]
        )
    names = [
        "recipe",
        "steps",
        "epochs x images/s",
        "device-hours",
        "parameters",
        f"GiB with batch {batch_of(recipes)}",
    ]
    return markdown_table(names, rows)


def batch_of(recipes: Sequence[Recipe]) -> str:
    """List the batch sizes of the recipes."""
    return " or ".join(str(size) for size in sorted({recipe.batch_size for recipe in recipes}))


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="benchmarks/large.py", description="Estimate device-hours and memory of the large recipes.")
    parser.add_argument("recipes", nargs="*", help="recipes of imagenetlt and inat18 (all)")
    parser.add_argument("--device", required=True, choices=DEVICES)
    parser.add_argument(
        "--batch", type=at_least_one, default=8, metavar="N", help="images per timed step (%(default)s)"
    )
    parser.add_argument("--repeats", type=at_least_one, default=3, metavar="N", help="timed steps (%(default)s)")
    parser.add_argument("--img-size", type=at_least_one, metavar="PIXELS", help="image size (the recipes' own)")
    add_precision_options(parser.add_argument_group("precision"))
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    device = choose_device(arguments.device)
    choose_threads(None)
    if arguments.batch < 2:
        raise InputError("--batch must be at least 2: one head and one tail image")
    names = arguments.recipes or [name for key in IMAGES for name in list_recipes(f"*_{key}_*")]
    recipes = [get_recipe(name) for name in names]
    others = [recipe.name for recipe in recipes if recipe.benchmark not in IMAGES]
    if others:
        raise InputError(f"{others[0]} is no recipe of {' or '.join(IMAGES)}; use benchmarks/recipe.py for the others")
    precision = (arguments.amp_dtype or "float16") if arguments.amp else "float32"
    settings = {"precision": precision} | ({"input.size": arguments.img_size} if arguments.img_size else {})
    recipes = [override(recipe, settings) for recipe in recipes]
    print(f"{describe_machine(device)}; {precision}; batch {arguments.batch}, n = {arguments.repeats} steps\n")
    print(report(recipes, device, arguments.batch, arguments.repeats))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
