"""What an epoch costs beside its passes: `python benchmarks/epoch.py --threads 1 --data-dir data`.

ResNet-32 on CIFAR-100-LT, on a CPU. The trainer's loop, with augmentation, is compared with a plain loop that has
neither loader nor augmentation: normalised batches that lie in memory, NCHW, torch's SGD, and the forward and backward
passes of the papers' code. Both are run eagerly and compiled, all in turn, in one process. Since other work on the
machine only ever slows a step, the fastest round of each counts; with `--clock cpu` the time in which the process waits
for a core does not count either. A ratio above 1 means that ltzoo is faster.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from comparison import NETWORKS, Batches, LtzooSide, Setting, Side
from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.data.batches import BatchSettings, Delivery, EvalBatches, TrainBatches, make_eval_batches
from ltzoo.data.memory import LabelledImages, load_test, load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import markdown_table, predict_classes
from ltzoo.registry import get_recipe
from ltzoo.sharpness import tail_partition
from ltzoo.train import ValInterval
from machine import choose_device, choose_threads, describe_machine
from reference import ReferenceStep

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
METHODS = ("sgd", "ssesam-stage1")
_SCHEDULE = ValInterval.parse("20,160:1")
_BATCHES = 4
"""Batches that the plain loop goes through again and again."""
_EVALUATED = 1000
"""Test images that are evaluated in each round."""


class _Autocast(nn.Module):
    """A model in reduced precision, with logits in float32."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype):
            return self.model(images).float()


class PlainSide(Side):
    """A plain loop over batches in memory.

    Args:
        setting: precision, compilation, recipe and images; the memory format is always NCHW.
        method: one of `METHODS`.
    """

    def __init__(self, setting: Setting, method: str) -> None:
        super().__init__(setting, method, tf32=False)
        recipe, model = setting.recipe, setting.make_model()
        optimizer = setting.make_optimizer(model)
        if setting.precision != "float32":
            model = _Autocast(model, getattr(torch, setting.precision))
        if setting.compile_backend is not None:
            model.compile(backend=setting.compile_backend)
        tail = tail_partition(torch.tensor(recipe.data.class_counts), setting.perturbation.eta)
        self.train_on = ReferenceStep(model, optimizer, method, tail, *setting.radii)
        first = _part(setting.images, _BATCHES * recipe.batch_size)
        self.stored = list(EvalBatches(first, recipe.data.data_set, recipe.batch_size))

    def batches(self, count: int) -> Batches:
        """See `Side.batches`."""
        return islice(cycle(self.stored), count)

    def step(self, images: Tensor, targets: Tensor) -> None:
        """See `Side.step`."""
        self.train_on(images, targets)


@dataclass(frozen=True)
class Times:
    """Times of one method. Entry i of every list was measured in round i.

    Attributes:
        step_ms: milliseconds per step of each side, by its name.
        augmentation_ms: milliseconds per batch of an epoch that is drawn, cropped, flipped and normalised only.
        evaluation_ms: milliseconds per test image, eager and compiled, by the name of the side.
        steps: steps per epoch.
        test_images: test images per evaluation.
        epochs: epochs of the recipe.
    """

    step_ms: dict[str, list[float]]
    augmentation_ms: list[float]
    evaluation_ms: dict[str, list[float]]
    steps: int
    test_images: int
    epochs: int

    def ratios(self, plain: str, ours: str) -> list[float]:
        """Time of a plain side over that of one of ours, in each round."""
        return [theirs / own for theirs, own in zip(self.step_ms[plain], self.step_ms[ours], strict=True)]

    def augmentation_share(self, ours: str) -> float:
        """Share of a step that goes into augmentation."""
        return min(self.augmentation_ms) / min(self.step_ms[ours])

    def evaluation_share(self, ours: str, val_interval: ValInterval) -> float:
        """Time of a run's evaluations over that of its training."""
        evaluations = sum(val_interval.measures(epoch, self.epochs) for epoch in range(1, self.epochs + 1))
        each = min(self.evaluation_ms[ours]) * self.test_images
        return evaluations * each / (self.epochs * self.steps * min(self.step_ms[ours]))


def _part(images: LabelledImages, count: int) -> LabelledImages:
    return LabelledImages(images.images[:count], images.labels[:count])


@dataclass(frozen=True)
class Plan:
    """How the sides are timed.

    Attributes:
        compiled: also compile both sides.
        repeats: rounds.
        steps: steps of each side per round.
        clock: returns seconds.
    """

    compiled: bool
    repeats: int
    steps: int
    clock: Callable[[], float]


def measure(setting: Setting, method: str, test: LabelledImages, plan: Plan) -> Times:
    """Time one method.

    Args:
        setting: eager; recipe, images and precision.
        method: one of `METHODS`.
        test: the test images, of which some are evaluated in each round.
        plan: how to time.
    """
    recipe, data_set = setting.recipe, setting.recipe.data.data_set
    backends = {"eager": None, "compiled": "inductor"} if plan.compiled else {"eager": None}
    settings = {name: replace(setting, compile_backend=backend) for name, backend in backends.items()}
    plain: dict[str, Side] = {f"plain, {name}": PlainSide(each, method) for name, each in settings.items()}
    ours = {f"ltzoo, {name}": LtzooSide(each, method) for name, each in settings.items()}
    sides = plain | ours
    delivery = Delivery(setting.device, setting.channels_last)
    drawn = TrainBatches(setting.images, BatchSettings(data_set, recipe.views, recipe.batch_size, 0), delivery)
    seen = make_eval_batches(_part(test, _EVALUATED), data_set, delivery)
    step_ms: dict[str, list[float]] = {name: [] for name in sides}
    evaluation_ms: dict[str, list[float]] = {name: [] for name in ours}
    times = Times(step_ms, [], evaluation_ms, len(drawn), len(test.labels), recipe.schedule.epochs)
    for number in range(1 + plan.repeats):  # the first round compiles, and is not counted
        for name, side in sides.items():
            print(f"{method}, round {number}: {name}", file=sys.stderr, flush=True)
            side.clock = plan.clock
            seconds = side.run(plan.steps)
            if number:
                times.step_ms[name].append(1000 * seconds / plan.steps)
        began = plan.clock()
        for _ in drawn.epoch(number):
            pass
        if number:
            times.augmentation_ms.append(1000 * (plan.clock() - began) / len(drawn))
        for name, own in ours.items():
            began = plan.clock()
            predict_classes(own.step_on.model, seen, forward=own.step_on.forward)
            if number:
                times.evaluation_ms[name].append(1000 * (plan.clock() - began) / _EVALUATED)
    return times


def report(method: str, times: Times) -> list[list[str]]:
    """Format one row per side of ltzoo."""
    rows = []
    for name in times.evaluation_ms:
        how = name.removeprefix("ltzoo, ")
        plain = [f"plain, {other}" for other in ("eager", "compiled") if f"plain, {other}" in times.step_ms]
        rows.append(
            [
                f"{method}, {how}",
                *(f"{min(times.step_ms[other]):.4g}" for other in plain),
                f"{min(times.step_ms[name]):.4g}",
                *(_ratio(times, other, name) for other in plain),
                f"{min(times.augmentation_ms):.3g} ({100 * times.augmentation_share(name):.2g} %)",
                f"{100 * times.evaluation_share(name, ValInterval()):.3g} %",
                f"{100 * times.evaluation_share(name, _SCHEDULE):.3g} %",
            ]
        )
    return rows


def _ratio(times: Times, plain: str, ours: str) -> str:
    found = times.ratios(plain, ours)
    fastest = min(times.step_ms[plain]) / min(times.step_ms[ours])
    return f"{fastest:.2f} ({min(found):.2f} .. {max(found):.2f})"


def heading(compiled: bool) -> list[str]:
    """Name the columns of `report`."""
    plain = ["plain, eager", *(["plain, compiled"] if compiled else [])]
    return [
        "",
        *(f"{name}: ms per step" for name in plain),
        "ltzoo: ms per step",
        *(f"ratio to {name} (rounds)" for name in plain),
        "augmentation: ms per batch (share)",
        "evaluation after each epoch",
        f"evaluation by {_SCHEDULE}",
    ]


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="epoch.py", description="Measure what an epoch costs beside its passes, on a CPU.")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="(both)")
    parser.add_argument("--amp-dtype", choices=["bfloat16"], help="precision of the forward passes (float32)")
    parser.add_argument("--no-compile", action="store_true", help="measure eager steps only")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder with CIFAR (%(default)s)"
    )
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: seconds in which the process computes, for one thread"
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (one per core)")
    parser.add_argument("--repeats", type=at_least_one, default=5, metavar="N", help="rounds (%(default)s)")
    parser.add_argument("--steps", type=at_least_one, default=3, metavar="N", help="steps per round (%(default)s)")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure and print the table."""
    device = choose_device("cpu")
    choose_threads(arguments.threads)
    if arguments.clock == "cpu" and torch.get_num_threads() > 1:
        raise InputError("--clock cpu adds up the time of all threads; add --threads 1")
    recipe = get_recipe(NETWORKS["resnet32"])
    images, subset = load_train(recipe.data, recipe.subset, arguments.data_dir)
    test = load_test(recipe.data, arguments.data_dir)
    precision: Literal["float32", "bfloat16"] = arguments.amp_dtype or "float32"
    setting = Setting(recipe, images, subset, device, precision, True, None, True, "neither", 0)
    plan = Plan(not arguments.no_compile, arguments.repeats, arguments.steps, CLOCKS[arguments.clock])
    rows: list[list[str]] = []
    for method in dict.fromkeys(arguments.methods):
        times = measure(setting, method, test, plan)
        rows += report(method, times)
    print(
        f"{describe_machine(device)}; {precision}; batch {recipe.batch_size}; {arguments.repeats} rounds of "
        f"{arguments.steps} steps, the fastest round of each, {arguments.clock} time; {recipe.benchmark}, "
        f"{subset.layout}\n\n"
        f"{markdown_table(heading(plan.compiled), rows)}"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
