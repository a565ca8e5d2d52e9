"""Time and memory of a training step against a plain reference: `python benchmarks/step.py --device cpu`.

Both sides train on CIFAR-100-LT (IF 100) with cross-entropy, each with its own data loading. They run alternately in
one process, so that a slowdown of the machine affects both. A ratio above 1 means that ltzoo is faster.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from comparison import NETWORKS, LtzooSide, ReferenceSide, Setting, Side
from ltzoo.cli.arguments import at_least_one, writable
from ltzoo.cli.parser import Parser, run
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from machine import DEVICES, choose_device, choose_threads, describe_machine, peak_bytes
from reference import PASSES

WHOLE_RUN = "ssesam-whole-run"
STEPS, WARMUP = {"cpu": 3, "cuda": 50}, {"cpu": 1, "cuda": 20}


@dataclass(frozen=True)
class Comparison:
    """One method, both sides. Times are paired: entry i of both was measured in round i.

    Attributes:
        network: a key of `comparison.NETWORKS`.
        method: a key of `PASSES`, or `WHOLE_RUN`.
        batch_size: images per step.
        reference_ms: milliseconds per step of the reference.
        ltzoo_ms: milliseconds per step of ltzoo.
        reference_bytes: peak memory of the reference.
        ltzoo_bytes: peak memory of ltzoo.
        computed: computed from other rows instead of measured.
    """

    network: str
    method: str
    batch_size: int
    reference_ms: Sequence[float]
    ltzoo_ms: Sequence[float]
    reference_bytes: int
    ltzoo_bytes: int
    computed: bool = False

    @property
    def ratios(self) -> list[float]:
        """Time of the reference over that of ltzoo, for each round."""
        return [theirs / ours for theirs, ours in zip(self.reference_ms, self.ltzoo_ms, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Convert to a JSON-serialisable dictionary."""
        ratios = {"median": median(self.ratios), "min": min(self.ratios), "max": max(self.ratios)}
        return {**vars(self), "ratio": ratios}


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="step.py", description="Measure ltzoo's training step against a plain reference.")
    parser.add_argument("--device", required=True, choices=DEVICES, help="where to compute")
    parser.add_argument("--network", choices=[*NETWORKS, "both"], default="both", help="(%(default)s)")
    parser.add_argument("--methods", nargs="+", choices=list(PASSES), default=list(PASSES), help="(all)")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder with CIFAR (%(default)s)"
    )
    parser.add_argument(
        "--amp-dtype", choices=["bfloat16", "float16"], help="precision of ltzoo's forward passes (float32)"
    )
    parser.add_argument("--torchcompile", action="store_true", help="compile ltzoo's model")
    parser.add_argument("--eager", action="store_true", help="on CUDA, do not capture ltzoo's step")
    parser.add_argument(
        "--channels-last", action=argparse.BooleanOptionalAction, default=True, help="memory format of ltzoo's side"
    )
    parser.add_argument(
        "--tf32",
        choices=["reference", "both", "neither"],
        default="reference",
        help="on CUDA, which side's float32 convolutions may use TF32, torch's default (%(default)s)",
    )
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (one per core)")
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="worker processes of the reference's DataLoader (%(default)s)",
    )
    parser.add_argument("--repeats", type=at_least_one, default=5, metavar="N", help="rounds (%(default)s)")
    parser.add_argument("--steps", type=at_least_one, metavar="N", help="steps per round (3 on a CPU, 50 on CUDA)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every time measured")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure, print the tables, write JSON."""
    if arguments.workers < 0:
        raise InputError(f"--workers must be at least 0, not {arguments.workers}")
    device = choose_device(arguments.device)
    choose_threads(arguments.threads)
    steps = arguments.steps or STEPS[device.type]
    settings = {}
    for network in NETWORKS if arguments.network == "both" else [arguments.network]:
        recipe = get_recipe(NETWORKS[network])
        images, subset = load_train(recipe.data, recipe.subset, arguments.data_dir)
        settings[network] = Setting(
            recipe,
            images,
            subset,
            device,
            arguments.amp_dtype or "float32",
            arguments.eager,
            "inductor" if arguments.torchcompile else None,
            arguments.channels_last,
            arguments.tf32,
            arguments.workers,
        )
    heading = describe(arguments, device, steps, settings)
    print(heading, file=sys.stderr)
    rows: list[Comparison] = []
    data_ms: dict[str, dict[str, list[float]]] = {}
    for network, setting in settings.items():
        for method in dict.fromkeys(arguments.methods):
            print(f"{network} {method}", file=sys.stderr, flush=True)
            rows.append(compare(network, setting, method, arguments.repeats, steps))
        rows += whole_run([row for row in rows if row.network == network], setting.perturbation.gamma)
        data_ms[network] = measure_data(setting, arguments.repeats, steps)
    print(f"{heading}\n\n{table(rows)}\n\n{data_table(data_ms)}")
    if arguments.json:
        document = {
            "heading": heading,
            "arguments": {key: str(value) for key, value in vars(arguments).items()},
            "steps_per_round": steps,
            "rows": [row.to_dict() for row in rows],
            "data_ms_per_batch": data_ms,
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def compare(network: str, setting: Setting, method: str, repeats: int, steps: int) -> Comparison:
    """Measure one method: memory of each side alone, then times of both sides alternately.

    Args:
        network: a key of `comparison.NETWORKS`.
        setting: settings of both sides.
        method: a key of `PASSES`.
        repeats: rounds.
        steps: steps per round.
    """
    # Two steps, because SGD allocates its momentum in the first.
    reference_bytes = peak_bytes(setting.device, lambda: ReferenceSide(setting, method, 1).run(1))
    ltzoo_bytes = peak_bytes(setting.device, lambda: LtzooSide(setting, method).run(1))
    sides = (ReferenceSide(setting, method, steps), LtzooSide(setting, method))
    reference_ms, ltzoo_ms = _alternate(sides, repeats, steps, WARMUP[setting.device.type])
    batch_size = setting.recipe.batch_size
    return Comparison(network, method, batch_size, reference_ms, ltzoo_ms, reference_bytes, ltzoo_bytes)


def measure_data(setting: Setting, repeats: int, steps: int) -> dict[str, list[float]]:
    """Measure the milliseconds that each side takes to load a batch, without training."""
    steps = max(steps, 10)
    sides = (ReferenceSide(setting, "sgd", steps), LtzooSide(setting, "sgd"))
    reference_ms, ltzoo_ms = _alternate(sides, repeats, steps, 1, train=False)
    return {"reference": reference_ms, "ltzoo": ltzoo_ms}


def _alternate(sides: Sequence[Side], repeats: int, steps: int, warmup: int, train: bool = True) -> list[list[float]]:
    """Run the sides alternately; return the milliseconds per step of each side in every round."""
    for side in sides:
        side.run(min(warmup, steps), train)
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for side, taken in zip(sides, times, strict=True):
            taken.append(1000 * side.run(steps, train) / steps)
    return times


def whole_run(rows: Sequence[Comparison], gamma: float) -> list[Comparison]:
    """Compute the times of a whole SSE-SAM run from its two stages, if both were measured.

    Args:
        rows: the comparisons of one network.
        gamma: the share of stage 1.
    """
    stages = [row for row in rows if row.method in ("ssesam-stage1", "ssesam-stage2")]
    if len(stages) < 2:
        return []
    first, second = sorted(stages, key=lambda row: row.method)

    def mixed(a: Sequence[float], b: Sequence[float]) -> list[float]:
        return [gamma * x + (1 - gamma) * y for x, y in zip(a, b, strict=True)]

    return [
        Comparison(
            first.network,
            WHOLE_RUN,
            first.batch_size,
            mixed(first.reference_ms, second.reference_ms),
            mixed(first.ltzoo_ms, second.ltzoo_ms),
            max(first.reference_bytes, second.reference_bytes),
            max(first.ltzoo_bytes, second.ltzoo_bytes),
            computed=True,
        )
    ]


def describe(arguments: argparse.Namespace, device: torch.device, steps: int, settings: dict[str, Setting]) -> str:
    """Describe machine, precisions, batch sizes and repeats in one line."""
    rounded = {"reference": (" (TF32 convolutions)", ""), "both": (" (TF32 convolutions)",) * 2, "neither": ("", "")}
    theirs, ours = rounded[arguments.tf32] if device.type == "cuda" else ("", "")
    memory_format = "channels-last" if arguments.channels_last else "NCHW"
    how = "".join(f", {word}" for word in ("eager", "torchcompile") if getattr(arguments, word))
    precision = arguments.amp_dtype or f"float32{ours}"
    one = next(iter(settings.values()))
    batches = ", ".join(f"{setting.recipe.batch_size} ({network})" for network, setting in settings.items())
    return (
        f"{describe_machine(device)}; reference: float32{theirs} NCHW, DataLoader with {arguments.workers} workers; "
        f"ltzoo: {precision} {memory_format}{how}; batch {batches}; "
        f"{arguments.repeats} rounds of {steps} steps, medians; {one.recipe.benchmark}, {one.subset.layout}"
    )


def table(rows: Sequence[Comparison]) -> str:
    """Format the comparisons as Markdown."""
    lines = [
        "| network | method | reference ms per step | ltzoo ms per step | ratio: median (min .. max) "
        "| reference images/s | ltzoo images/s | reference peak MiB | ltzoo peak MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        theirs, ours, ratio = median(row.reference_ms), median(row.ltzoo_ms), median(row.ratios)
        method = f"{row.method} (computed)" if row.computed else row.method
        lines.append(
            f"| {row.network} | {method} | {theirs:.4g} | {ours:.4g} "
            f"| {ratio:.2f} ({min(row.ratios):.2f} .. {max(row.ratios):.2f}) "
            f"| {1000 * row.batch_size / theirs:.0f} | {1000 * row.batch_size / ours:.0f} "
            f"| {row.reference_bytes / 2**20:.0f} | {row.ltzoo_bytes / 2**20:.0f} |"
        )
    return "\n".join(lines)


def data_table(data_ms: dict[str, dict[str, list[float]]]) -> str:
    """Format the data loading times as Markdown."""
    lines = ["| network | reference data ms per batch | ltzoo data ms per batch |", "| --- | ---: | ---: |"]
    lines += [
        f"| {network} | {median(ms['reference']):.3g} | {median(ms['ltzoo']):.3g} |" for network, ms in data_ms.items()
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
