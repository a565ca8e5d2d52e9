"""Cost of a Hessian-vector product and of a class's spectrum: `python benchmarks/landscape.py --device cpu`.

Forward pass, gradient and products take turns on the training images of one class, so that a machine that slows down
slows all. A product differentiates the gradient once more. Counted, it costs three gradients; two where the gradient is
kept with its graph, as an analysis does where the memory suffices.
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
from ltzoo.cli.parser import Parser, at_least_one, run
from ltzoo.data import all_groups
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import tf32
from ltzoo.landscape.class_sets import parse_class_sets
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.landscape.loss import make_batches, make_criterion, of_classes
from ltzoo.landscape.memory import free_memory
from ltzoo.landscape.settings import Settings
from ltzoo.registry import create_model, get_recipe
from machine import DEVICES, choose_device, choose_threads, describe_machine, synchronize

UNITS = ("forward pass", "gradient", "product", "product of kept gradients")


@dataclass(frozen=True)
class Costs:
    """What each of `UNITS` costs. Times are paired: entry i of all was measured in turn i.

    Attributes:
        flops: counted floating-point operations of convolutions and matrix products, a unit each.
        seconds: of each turn, a unit each.
    """

    flops: Sequence[int]
    seconds: Sequence[Sequence[float]]

    def ratios(self, unit: int, to: int) -> list[float]:
        """Time of a unit over that of another, turn by turn."""
        return [ours / theirs for ours, theirs in zip(self.seconds[unit], self.seconds[to], strict=True)]


def measure(curvature: Curvature, repeats: int) -> Costs:
    """Count and time forward pass, gradient and products over all images, in turns.

    Args:
        curvature: of the images.
        repeats: turns.

    Raises:
        InputError: the memory does not suffice to keep the gradients.
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
            raise InputError("the memory does not suffice to keep this class's gradients; name a smaller --class")
        flops = []
        for unit in units:  # which also warms up
            with FlopCounterMode(display=False) as counter:
                unit()
            flops.append(counter.get_total_flops())
        seconds: list[list[float]] = [[] for _ in units]
        for _ in range(repeats):
            for unit, taken in zip(units, seconds, strict=True):
                taken.append(timed(unit, curvature.device))
    return Costs(flops, seconds)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Time some work on a device, in seconds."""
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


def table(costs: Costs, images: int) -> str:
    """Write the costs as Markdown.

    Args:
        costs: over all images.
        images: how many they are.
    """
    lines = [
        "| | MFLOP an image | counted in forward passes | in gradients | ms | timed in forward passes | in gradients |",
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
    """Take Lanczos steps from one vector, whether or not they converge before, and ask after each.

    Args:
        curvature: of the images.
        steps: so many, or fewer if the space closes.

    Returns:
        Steps, seconds of all, seconds of the products.
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
    """Draw a vector as the products take it."""
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
        raise InputError(f"--class {word} means {1 + len(others)} spectra; name one class, a group, or all")
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
        f"{describe_machine(device)}; float32 NCHW; class {chosen.label}, {count} images, {arguments.chunk} a chunk; "
        f"{arguments.repeats} turns, medians (range)\n",
        flush=True,
    )
    with tf32(False):
        print(f"{table(measure(curvature, arguments.repeats), count)}\n", flush=True)
        steps, seconds, products = spectrum_seconds(curvature, arguments.steps)
    print(f"a spectrum of {steps} Lanczos steps, one probe: {seconds:.3g} s, {products:.3g} s of them in products")


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="landscape.py", description="Measure a Hessian-vector product and a class's spectrum.")
    parser.add_argument("--device", required=True, choices=DEVICES, help="where to compute")
    parser.add_argument(
        "--recipe", default="resnet20_digitslt_ce_sgd", metavar="NAME", help="whose network and images (%(default)s)"
    )
    parser.add_argument("--class", dest="label", metavar="CLASS", help="which images (those of the largest class)")
    parser.add_argument("--steps", type=at_least_one, default=60, metavar="N", help="Lanczos steps (%(default)s)")
    parser.add_argument(
        "--chunk", type=at_least_one, default=Settings.chunk, metavar="N", help="images at once (%(default)s)"
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (one a core)")
    parser.add_argument("--repeats", type=at_least_one, default=5, metavar="N", help="turns of each (%(default)s)")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), metavar="DIR", help="holds CIFAR (%(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
