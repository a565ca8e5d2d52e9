"""ltzoo's step beside pytorch_optimizer's SAM optimizers and a plain two-pass closure: `python benchmarks/peers.py`.

All of them train the same network on the same random images with SGD. They take turns, round by round, in one process,
so that a slowdown of the machine affects all. A ratio is an implementation's time over that of the plain closure in the
same round: below 1 is faster than the closure.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import median

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ltzoo.models  # noqa: F401  # registers the networks with timm
from ltzoo.cli.arguments import at_least_one
from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.sharpness import ASAM, GSAM, SAM, Perturbation, perturbed_backward
from machine import DEVICES, choose_device, choose_threads, describe_machine, peak_bytes, synchronize

try:
    import pytorch_optimizer as peers
except ImportError:
    peers = None

RHO, LR, ALPHA, CLASSES, WARM_UP = 0.05, 0.1, 0.4, 10, 1
NETWORKS = ("resnet9_cifar", "resnet20_cifar", "resnet32_cifar")
Step = Callable[[Tensor, Tensor], object]


def plain_closure(model: nn.Module) -> Step:
    """SAM as it is usually written: two passes, a loop over the parameters, and a copy of them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)

    def step(images: Tensor, targets: Tensor) -> None:
        F.cross_entropy(model(images), targets).backward()
        used = [(parameter, parameter.grad) for parameter in model.parameters() if parameter.grad is not None]
        with torch.no_grad():
            norm = torch.stack([gradient.norm() for _, gradient in used]).norm()
            before = [parameter.clone() for parameter, _ in used]
            for parameter, gradient in used:
                parameter.add_(gradient * (RHO / (norm + 1e-12)))
        optimizer.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        with torch.no_grad():
            for (parameter, _), old in zip(used, before, strict=True):
                parameter.copy_(old)
        optimizer.step()
        optimizer.zero_grad()

    return step


def of_ltzoo(perturbation: Perturbation) -> Callable[[nn.Module], Step]:
    """Steps of ltzoo."""

    def make(model: nn.Module) -> Step:
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
        criterion = nn.CrossEntropyLoss(reduction="none")
        table = perturbation.table(torch.ones(CLASSES, device=next(model.parameters()).device))

        def step(images: Tensor, targets: Tensor) -> None:
            perturbed_backward(model, criterion, images, targets, table)
            optimizer.step()
            optimizer.zero_grad()

        return step

    return make


def of_peer(name: str) -> Callable[[nn.Module], Step]:
    """One of pytorch_optimizer's, as its documentation uses it."""

    class Constant:
        def step(self) -> float:
            return RHO

    def make(model: nn.Module) -> Step:
        if name == "GSAM":
            base = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
            gsam = peers.GSAM(model.parameters(), base, model, rho_scheduler=Constant(), alpha=ALPHA)

            def gsam_step(images: Tensor, targets: Tensor) -> None:
                gsam.set_closure(F.cross_entropy, images, targets)
                gsam.step()

            return gsam_step
        kind = peers.LookSAM if name == "LookSAM" else peers.SAM
        optimizer = kind(model.parameters(), torch.optim.SGD, rho=RHO, adaptive=name == "ASAM", lr=LR, momentum=0.9)

        def step(images: Tensor, targets: Tensor) -> None:
            def closure() -> None:
                optimizer.zero_grad()
                F.cross_entropy(model(images), targets).backward()

            closure()
            optimizer.step(closure)

        return step

    return make


def sides() -> dict[tuple[str, str], Callable[[nn.Module], Step]]:
    """The implementations: (method, whose) to what makes a step of a model."""
    ours: dict[str, Perturbation] = {"SAM": SAM(RHO), "ASAM": ASAM(RHO, 0.01), "GSAM": GSAM(RHO, ALPHA)}
    return {
        ("SAM", "plain closure"): plain_closure,
        **{(name, "ltzoo"): of_ltzoo(perturbation) for name, perturbation in ours.items()},
        **{(name, "pytorch_optimizer"): of_peer(name) for name in ("SAM", "ASAM", "GSAM", "LookSAM")},
    }


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="peers.py", description="Measure ltzoo's step beside other implementations of SAM.")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to compute (%(default)s)")
    parser.add_argument("--threads", type=at_least_one, metavar="N", help="CPU threads (one per core)")
    parser.add_argument("--network", choices=NETWORKS, default="resnet20_cifar", help="(%(default)s)")
    parser.add_argument("--batch", type=at_least_one, default=32, metavar="N", help="images per step (%(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=7, metavar="N", help="(%(default)s)")
    parser.add_argument("--steps", type=at_least_one, default=3, metavar="N", help="steps per round (%(default)s)")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Measure memory and times, and print the table."""
    if peers is None:
        raise InputError("pytorch_optimizer is not installed; run: pip install pytorch_optimizer")
    device = choose_device(arguments.device)
    choose_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(arguments.batch, 3, 32, 32, generator=generator).to(device)
    targets = torch.randint(0, CLASSES, (arguments.batch,), generator=generator).to(device)

    def begin(make: Callable[[nn.Module], Step]) -> Step:
        torch.manual_seed(0)
        return make(timm.create_model(arguments.network, num_classes=CLASSES).to(device))

    def several(step: Step, count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            step(images, targets)
        synchronize(device)
        return 1000 * (time.perf_counter() - start) / count

    def two_steps(make: Callable[[nn.Module], Step]) -> None:
        several(begin(make), 2)

    made = sides()
    # Two steps: SGD allocates its momentum in the first.
    memory = {key: peak_bytes(device, partial(two_steps, make)) for key, make in made.items()}
    steps = {key: begin(make) for key, make in made.items()}
    for step in steps.values():
        several(step, WARM_UP)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for _ in range(arguments.rounds):
        for key, step in steps.items():
            times[key].append(several(step, arguments.steps))
    print(
        f"{describe_machine(device)}, pytorch_optimizer {version('pytorch_optimizer')}; {arguments.network}, "
        f"batch {arguments.batch}, {arguments.rounds} rounds of {arguments.steps} steps\n"
    )
    print("| method | implementation | ms per step | over the plain closure: median (min .. max) | peak MiB |")
    print("| --- | --- | ---: | ---: | ---: |")
    reference = times["SAM", "plain closure"]
    for (method, whose), taken in sorted(times.items()):
        ratios = [own / plain for own, plain in zip(taken, reference, strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
        print(f"| {method} | {whose} | {median(taken):.4g} | {spread} | {memory[method, whose] / 2**20:.0f} |")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
