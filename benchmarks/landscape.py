"""Cost of a Hessian-vector product and of a spectrum: `python benchmarks/landscape.py --device cpu`.

Forward pass, gradient and products are timed alternately on the training images of one class, so that a slowdown of the
machine affects all of them. A product differentiates the gradient again. In floating-point operations it costs three
gradients, or two if the gradient's graph is kept, as an analysis does where the memory suffices.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from ltzoo import checkpoints
from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.data import all_groups
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import tf32
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.landscape.loss import make_batches, make_criterion, of_classes
from ltzoo.landscape.memory import free_memory
from ltzoo.landscape.settings import Settings, parse_class_sets
from ltzoo.registry import create_model, get_recipe
from machine import DEVICES, choose_device, choose_threads, describe_machine, synchronize

UNITS = ("forward pass", "gradient", "product", "product, gradient graphs kept")


@dataclass(frozen=True)
class Costs:
    """Cost of each of `UNITS`. Times are paired: entry i of every unit was measured in round i.

    Attributes:
        flops: counted floating-point operations of convolutions and matrix products, for each unit.
        seconds: seconds of every round, for each unit.
    """

    flops: Sequence[int]
    seconds: Sequence[Sequence[float]]

    def ratios(self, unit: int, to: int) -> list[float]:
        """Ratio of the times of two units, for each round."""
        return [ours / theirs for ours, theirs in zip(self.seconds[unit], self.seconds[to], strict=True)]


def measure(curvature: Curvature, repeats: int) -> Costs:
    """Count operations and measure times of forward pass, gradient and products over all images.

    Args:
        curvature: the loss over the images.
        repeats: rounds.

    Raises:
        InputError: the memory does not suffice to keep the gradient graphs.
    """
    vector, keeping = random_vector(curvature), copy.copy(curvature)
    units: list[Callable[[], object]] = [
        curvature.value,
        curvature.gradient,
        lambda: curvature.product(vector),
        lambda: keeping.product(vector),
    ]
    with keeping.gradients_kept(free_memory(curvature.device) // 2) as kept:
        if not kept:
            raise InputError(
                "the memory does not suffice to keep the gradient graphs of this class; choose a smaller --class"
            )
        flops = []
        for unit in units:  # also the warm-up
            with FlopCounterMode(display=False) as counter:
                unit()
            flops.append(counter.get_total_flops())
        seconds: list[list[float]] = [[] for _ in units]
        for _ in range(repeats):
            for unit, taken in zip(units, seconds, strict=True):
                taken.append(timed(unit, curvature.device))
    return Costs(flops, seconds)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Time a function on a device, in seconds."""
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


def table(costs: Costs, images: int) -> str:
    """Format the costs as Markdown.

    Args:
        costs: costs over all images.
        images: number of images.
    """
    lines = [
        "| | MFLOP per image | counted in forward passes | in gradients | ms | timed in forward passes "
        "| in gradients |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for unit, name in enumerate(UNITS):
        flops = costs.flops[unit]
        counted = " | ".join(f"{flops / costs.flops[other]:.2f}" for other in (0, 1))
        times = " | ".join(_spread(costs.ratios(unit, other)) for other in (0, 1))
        milliseconds = 1000 * median(costs.seconds[unit])
        lines.append(f"| {name} | {flops / images / 1e6:.1f} | {counted} | {milliseconds:.4g} | {times} |")
    return "\n".join(lines)


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"


def spectrum_seconds(curvature: Curvature, steps: int) -> tuple[int, float, float]:
    """Run Lanczos steps from one vector, with a convergence check after each, without stopping early.

    Args:
        curvature: the loss over the images.
        steps: number of steps; fewer if the Krylov space is exhausted.

    Returns:
        Number of steps, total seconds, seconds spent in products.
    """
    spent = []

    def product(vector: torch.Tensor) -> torch.Tensor:
        found = [vector]
        spent.append(timed(lambda: found.append(curvature.product(vector)), curvature.device))
        return found[1]

    def take_steps() -> None:
        lanczos = Lanczos(product, random_vector(curvature), steps)
        while not lanczos.full:
            lanczos.step()
            lanczos.converged(0.01)
        lanczos.extremes()

    def measure_spectrum() -> None:
        with curvature.gradients_kept(free_memory(curvature.device) // 2):
            take_steps()

    seconds = timed(measure_spectrum, curvature.device)
    return len(spent), seconds, sum(spent)


def random_vector(curvature: Curvature) -> torch.Tensor:
    """Draw a random vector with the shape, dtype and device of the weights."""
    return torch.randn(curvature.size, dtype=curvature.dtype).to(curvature.device)


def command(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    device = choose_device(arguments.device)
    choose_threads(arguments.threads)
    recipe = get_recipe(arguments.recipe)
    counts = recipe.data.class_counts
    word = str(counts.index(max(counts))) if arguments.label is None else arguments.label
    chosen, *others = parse_class_sets([word], recipe.data, all_groups(recipe.data, recipe.groups)[0])
    if others:
        raise InputError(f"--class {word} means {1 + len(others)} spectra; choose one class, a group, or all")
    images, _ = load_train(recipe.data, recipe.subset, arguments.data_dir)
    own, settings = of_classes(images, chosen.classes), Settings(chunk=arguments.chunk)
    trained = (checkpoints.PACKAGED / recipe.name).is_dir()
    torch.manual_seed(0)
    model = create_model(recipe.name, pretrained=trained, hub=str(checkpoints.PACKAGED) if trained else None).to(device)
    criterion, class_weights = make_criterion(recipe, recipe.schedule.epochs, settings, device)
    curvature = Curvature(model, criterion, make_batches(own, recipe, settings, device), class_weights)
    count = len(own.labels)
    print(
        f"{recipe.name}, {'trained' if trained else 'fresh'} weights ({curvature.size:,}), on "
        f"{describe_machine(device)}; float32 NCHW; class {chosen.label}, {count} images, {arguments.chunk} per chunk; "
        f"{arguments.repeats} rounds, medians (range)\n",
        flush=True,
    )
    with tf32(False):
        print(f"{table(measure(curvature, arguments.repeats), count)}\n", flush=True)
        steps, seconds, products = spectrum_seconds(curvature, arguments.steps)
    print(f"a spectrum of {steps} Lanczos steps, one probe: {seconds:.3g} s, of which {products:.3g} s in products")


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="landscape.py", description="Measure the cost of a Hessian-vector product and of a spectrum.")
    parser.add_argument("--device", required=True, choices=DEVICES, help="where to compute")
    parser.add_argument(
        "--recipe",
        default="resnet20_digitslt_ce_sgd",
        metavar="NAME",
        help="recipe with network and images (%(default)s)",
    )
    parser.add_argument("--class", dest="label", metavar="CLASS", help="class whose images are used (the largest one)")
    parser.add_argument("--steps", type=at_least_one, default=60, metavar="N", help="Lanczos steps (%(default)s)")
    parser.add_argument(
        "--chunk", type=at_least_one, default=Settings.chunk, metavar="N", help="images per chunk (%(default)s)"
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (one per core)")
    parser.add_argument("--repeats", type=at_least_one, default=5, metavar="N", help="rounds (%(default)s)")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder with CIFAR (%(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
