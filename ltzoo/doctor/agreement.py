"""Whether every way to compute a step gives the same weights: as a graph, beside other runs, in two processes.

Differences are given as a share of the distance that the weights moved: rounding gives about 1e-6, another batch or
other dropout about 1. All functions use the device, so each belongs into a process of its own.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from ltzoo.doctor.machine import usual_device
from ltzoo.doctor.report import Check, Outcome
from ltzoo.recipes import Recipe, override
from ltzoo.registry import get_recipe
from ltzoo.train.cuda_graph import CapturedStep, why_not_captured
from ltzoo.train.device import make_accelerator
from ltzoo.train.processes import join_processes
from ltzoo.train.run_resources import RunResources
from ltzoo.train.step import Step

_STEPS = 3
"""Steps per stage."""
_RUNS = 4
_ROUNDING = 1e-3
"""The largest share of the distance that rounding may explain."""

Weights = Tensor
"""All weights of a model, one after the other, on the CPU."""


def check_capture() -> Check:
    """Compare captured steps with eager ones, in both stages of SSE-SAM."""
    name, device = "capture", usual_device()
    recipe = _recipe()
    accelerator = make_accelerator("float32", (), Path())
    reason = why_not_captured(recipe, recipe.data.class_counts, accelerator)
    if reason is not None:
        return Check(name, "skipped", reason)
    eager, captured = (_trained(recipe, device, seed=0, captured=flag) for flag in (False, True))
    distance = _distance(eager)

    def twice() -> float:
        return float((eager - _trained(recipe, device, seed=0, captured=False)).norm()) / distance

    return _judge(name, "captured steps and eager ones", [(captured, eager)], distance, twice)


def check_side_by_side(captured: bool) -> Check:
    """Compare runs that take turns, with dropout and stochastic depth, with each alone.

    Args:
        captured: whether steps are CUDA graphs.
    """
    recipe, device = _recipe(), usual_device()
    makers = [_training(recipe, device, seed, captured) for seed in range(_RUNS)]
    together = [one.start() for one in makers]
    for _ in range(recipe.schedule.epochs * _STEPS):
        for run in together:
            run.step()
    alone = [_trained(recipe, device, seed, captured) for seed in range(_RUNS)]
    pairs, distance = [(run.weights(), other) for run, other in zip(together, alone, strict=True)], _distance(alone[0])

    def twice() -> float:
        return float((alone[0] - _trained(recipe, device, 0, captured)).norm()) / distance

    return _judge("side by side", "four runs side by side and each alone", pairs, distance, twice)


def train_share(rank: int, processes: int, port: int, on_gpu: bool) -> tuple[bytes, bytes]:
    """Train on a process's share of each batch, without BatchNorm.

    Args:
        rank: of this process.
        processes: number of processes.
        port: on which they meet.
        on_gpu: whether each uses a GPU of its own; else all use the CPU.

    Returns:
        The weights at the end and at the start, as float32.
    """
    if processes > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    if not on_gpu:
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    recipe, state = _recipe(), join_processes()
    accelerator = make_accelerator("float32", (), Path())
    torch.manual_seed(0)
    # Its images do not affect each other.
    model = timm.create_model("test_convnext", in_chans=1, num_classes=10).to(accelerator.device)
    start = flat(model)
    step = Step(recipe, recipe.data.class_counts, model, accelerator, 0, None)
    for number in range(_STEPS):
        images, targets = _batch(accelerator.device, number)
        step(images[rank::processes].contiguous(), targets[rank::processes])
    end = flat(model)
    if processes > 1:
        state.wait_for_everyone()
    return end.numpy().tobytes(), start.numpy().tobytes()


def compare_shares(first: bytes, second: bytes, one: bytes, start: bytes, on_gpu: bool) -> Check:
    """Compare the weights of two processes that shared each batch with those of one that had all of it.

    Args:
        first: of the one process of the two.
        second: of the other.
        one: of the process that had all images.
        start: of all, before the first step.
        on_gpu: see `train_share`.
    """
    where = "on two GPUs" if on_gpu else "on the CPU"
    if first != second:
        return Check("processes", "wrong", f"two processes {where} end with different weights")
    weights = [torch.frombuffer(bytearray(one), dtype=torch.float32) for one in (first, one, start)]
    distance = float((weights[1] - weights[2]).norm())
    return _judge("processes", f"two processes {where} and one", [(weights[0], weights[1])], distance, lambda: 0.0)


def flat(model: nn.Module) -> Weights:
    """Return all weights and statistics of a model as one vector."""
    return torch.cat([value.detach().flatten().float().cpu() for value in model.state_dict().values()])


class _Training:
    """A small run on random images.

    Args:
        make: makes the step.
        resources: the run's own.
        epochs: number of epochs.
        device: where.
    """

    def __init__(self, make: Callable[[], Step], resources: RunResources, epochs: int, device: torch.device) -> None:
        self.make, self.resources, self.epochs, self.device, self.done = make, resources, epochs, device, 0

    def start(self) -> "_Training":
        """Make model and step."""
        with self.resources.in_use():
            self.taken = self.make()
        return self

    def step(self) -> None:
        """Take the next step."""
        with self.resources.in_use():
            if self.done % _STEPS == 0:
                self.taken.begin(self.done // _STEPS)
            self.taken(*_batch(self.device, self.done))
        self.done += 1

    def weights(self) -> Weights:
        """Return the weights."""
        with self.resources.in_use():
            return flat(self.taken.model)


def _training(recipe: Recipe, device: torch.device, seed: int, captured: bool) -> _Training:
    resources = RunResources(device)

    def make() -> Step:
        accelerator = make_accelerator("float32", (), Path())
        torch.manual_seed(seed)
        arguments = (recipe, recipe.data.class_counts, _dropping_model(device), accelerator, seed, None)
        return CapturedStep(*arguments, resources=resources) if captured else Step(*arguments)

    return _Training(make, resources, recipe.schedule.epochs, device)


def _trained(recipe: Recipe, device: torch.device, seed: int, captured: bool) -> Weights:
    run = _training(recipe, device, seed, captured).start()
    for _ in range(recipe.schedule.epochs * _STEPS):
        run.step()
    return run.weights()


def _distance(end: Weights) -> float:
    """Return how far the run with seed 0 has moved."""
    torch.manual_seed(0)
    return float((end - flat(_dropping_model(torch.device("cpu")))).norm())


def _judge(
    name: str, what: str, pairs: Sequence[tuple[Weights, Weights]], distance: float, twice: Callable[[], float]
) -> Check:
    """Say whether pairs of weights are equal, and if not, whether rounding explains that.

    Args:
        name: of the check.
        what: what is compared.
        pairs: weights that should be equal.
        distance: how far they have moved.
        twice: computes by which share of that distance the same run differs from itself: on some devices it does.
    """
    if not (distance > 0 and all(weights.isfinite().all() for pair in pairs for weights in pair)):
        return Check(name, "wrong", f"{what}: the weights have not moved, or are not finite")
    if all(torch.equal(a, b) for a, b in pairs):
        return Check(name, "ok", f"{what} have the same weights, bit for bit")
    largest = max(float((a - b).norm()) for a, b in pairs) / distance
    found = f"{what} differ by {largest:.1g} of the distance that the weights moved"
    if largest <= _ROUNDING:
        return Check(name, "ok", f"{found}, which is rounding")
    itself = twice()
    outcome: Outcome = "ok" if largest <= 10 * itself else "wrong"
    return Check(name, outcome, f"{found}; the same run twice differs by {itself:.1g}")


def _recipe() -> Recipe:
    """Return SSE-SAM on the digits, one epoch per stage; the learning rates are the same number in float32."""
    exact = {
        "optimizer.lr": 2**-6,
        "schedule.milestones": [],
        "schedule.factors": [],
        "schedule.warmup_epochs": 0,
        "perturbation.gamma": 0.5,
        "precision": "float32",
    }
    return override(get_recipe("resnet20_digitslt_ce_ssesam").with_epochs(2), exact)


def _dropping_model(device: torch.device) -> nn.Module:
    """Make a small network with dropout and stochastic depth; its first weights are drawn on the CPU."""
    model = timm.create_model("test_convnext", in_chans=1, num_classes=10, drop_rate=0.3, drop_path_rate=0.3)
    return model.to(device)


def _batch(device: torch.device, number: int) -> tuple[Tensor, Tensor]:
    """Draw 16 images of 32 x 32 pixels and their classes."""
    generator = torch.Generator().manual_seed(1000 + number)
    images = torch.randn(16, 1, 32, 32, generator=generator)
    return images.to(device), torch.randint(0, 10, (16,), generator=generator).to(device)
