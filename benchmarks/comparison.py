"""The two sides that step.py compares: the plain reference step and ltzoo's step, each with its own data loading."""

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import timm
import torch
from torch import Tensor, nn

from ltzoo.data import Subset
from ltzoo.data.batches import BatchSettings, Delivery, TrainBatches
from ltzoo.data.dataset import BenchmarkImages
from ltzoo.data.memory import LabelledImages
from ltzoo.evaluate import tf32
from ltzoo.recipes import Recipe
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation, Quantile, tail_partition
from ltzoo.train.cuda_graph import CapturedStep, why_not_captured
from ltzoo.train.device import make_accelerator
from ltzoo.train.run_resources import RunResources
from ltzoo.train.step import Step
from machine import synchronize
from reference import PREFETCH, PlainLoader, ReferenceStep, plain_transform

Batches = Iterator[tuple[Tensor, Tensor]]

NETWORKS = {"resnet32": "resnet32_cifar100lt_ce_ssesam", "resnet34": "resnet34_cifar100lt_ce_ssesam"}
"""Networks, and the recipes that define batch size (128 and 64), optimizer, images, radii and eta."""


@dataclass(frozen=True)
class Setting:
    """Settings of both sides.

    Attributes:
        recipe: architecture, batch size, optimizer, normalisation, and an SSE-SAM whose radii and eta all methods use.
        images: the recipe's training images.
        subset: the indices of these images.
        device: where to compute.
        precision: precision of ltzoo's side; the reference uses float32.
        eager: do not capture ltzoo's step on CUDA.
        compile_backend: backend of `torch.compile` on ltzoo's side; None to not compile.
        channels_last: memory format of ltzoo's side; the reference uses NCHW.
        tf32: which sides may round float32 convolutions to TF32: `reference`, `both` or `neither`.
        workers: worker processes of the reference's DataLoader.
    """

    recipe: Recipe
    images: LabelledImages
    subset: Subset
    device: torch.device
    precision: Literal["float32", "bfloat16", "float16"]
    eager: bool
    compile_backend: str | None
    channels_last: bool
    tf32: str
    workers: int

    @property
    def perturbation(self) -> SSESAM:
        """The recipe's SSE-SAM."""
        assert isinstance(self.recipe.perturbation, SSESAM)
        return self.recipe.perturbation

    @property
    def radii(self) -> tuple[float, float]:
        """Radii of head and tail in stage 1."""
        radii = self.perturbation.radii(0, self.recipe.schedule.epochs)
        return radii["rho_head"], radii["rho_tail"]

    def make_model(self) -> nn.Module:
        """Build the network, always with the same weights."""
        torch.manual_seed(0)
        classes = self.recipe.data.data_set.num_classes
        return timm.create_model(self.recipe.architecture, num_classes=classes).to(self.device).train()

    def make_optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """Make the recipe's SGD optimizer."""
        settings = self.recipe.optimizer
        return torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov,
        )


class Side(ABC):
    """A training loop that runs a few steps at a time.

    Args:
        setting: settings of both sides.
        method: a key of `reference.PASSES`.
        tf32: let float32 convolutions use TF32 on CUDA.
    """

    def __init__(self, setting: Setting, method: str, tf32: bool) -> None:
        self.setting, self.method, self.tf32 = setting, method, tf32
        self.device, self.batch_size = setting.device, setting.recipe.batch_size
        self.clock: Callable[[], float] = time.perf_counter

    @abstractmethod
    def batches(self, count: int) -> Batches:
        """Yield at least `count` full-size batches."""

    @abstractmethod
    def step(self, images: Tensor, targets: Tensor) -> None:
        """Train on a batch."""

    def run(self, steps: int, train: bool = True) -> float:
        """Run some steps and time all but the first, which fills the queues of the data loader.

        Args:
            steps: steps to time.
            train: train on the batches, instead of only loading them.

        Returns:
            Seconds.
        """
        batches = self.batches(1 + steps)
        with tf32(self.tf32):
            for done in range(1 + steps):
                images, targets = next(batches)
                if train:
                    self.step(images, targets)
                if done == 0:
                    synchronize(self.device)
                    began = self.clock()
            synchronize(self.device)
            seconds = self.clock() - began
        # Use up prefetched batches, so that no worker is busy while the other side runs.
        for _ in batches:
            pass
        return seconds


class ReferenceSide(Side):
    """The plain reference step in float32 and NCHW, with a DataLoader.

    Args:
        setting: settings of both sides.
        method: a key of `reference.PASSES`.
        steps: steps that `run` will time.
    """

    def __init__(self, setting: Setting, method: str, steps: int) -> None:
        super().__init__(setting, method, setting.tf32 in ("reference", "both"))
        data = setting.recipe.data
        transform = plain_transform(data.data_set.mean, data.data_set.std, data.data_set.image_size)
        images = BenchmarkImages(data, setting.images, setting.subset, transform)
        # The workers are equally far ahead at the beginning and at the end of the timed steps.
        count = 1 + steps + PREFETCH * setting.workers
        self.loader = PlainLoader(images, self.batch_size, count, setting.workers, self.device)
        model = setting.make_model()
        tail = tail_partition(torch.tensor(data.class_counts, device=self.device), setting.perturbation.eta)
        self.train_on = ReferenceStep(model, setting.make_optimizer(model), method, tail, *setting.radii)

    def batches(self, count: int) -> Batches:
        """See `Side.batches`."""
        return iter(self.loader)

    def step(self, images: Tensor, targets: Tensor) -> None:
        """See `Side.step`."""
        self.train_on(images, targets)


class LtzooSide(Side):
    """The trainer's own step on batches in memory; captured on CUDA, unless `eager`.

    Args:
        setting: settings of both sides.
        method: a key of `reference.PASSES`.
    """

    def __init__(self, setting: Setting, method: str) -> None:
        super().__init__(setting, method, setting.tf32 == "both")
        moved = perturbation(method, *setting.radii, setting.perturbation.eta)
        # Use the recipe's full learning rate in every step, like the reference.
        schedule = replace(setting.recipe.schedule, warmup_epochs=0, milestones=(), factors=())
        recipe = replace(setting.recipe, perturbation=moved, schedule=schedule, precision=setting.precision)
        accelerator = make_accelerator(recipe.precision, (), Path())
        memory_format = torch.channels_last if setting.channels_last else torch.contiguous_format
        model = setting.make_model().to(memory_format=memory_format)
        counts = recipe.data.class_counts
        if why_not_captured(recipe, counts, accelerator) is None and not setting.eager:
            resources = RunResources(accelerator.device)
            self.step_on: Step = CapturedStep(recipe, counts, model, accelerator, 0, setting.compile_backend, resources)
        else:
            self.step_on = Step(recipe, counts, model, accelerator, 0, setting.compile_backend)
        augmentation, data_set = recipe.augmentation, recipe.data.data_set
        settings = BatchSettings(data_set, (augmentation,), self.batch_size, seed=0)
        batches = TrainBatches(setting.images, settings, Delivery(self.device, setting.channels_last))
        self.epochs = self._endless(batches)

    def batches(self, count: int) -> Batches:
        """See `Side.batches`."""
        return itertools.islice(self.epochs, count)

    def step(self, images: Tensor, targets: Tensor) -> None:
        """See `Side.step`."""
        self.step_on(images, targets)

    def _endless(self, made: TrainBatches) -> Batches:
        for epoch in itertools.count():
            yield from (batch for batch in made.epoch(epoch) if len(batch[1]) == self.batch_size)


def perturbation(method: str, rho_head: float, rho_tail: float, eta: float | Quantile) -> Perturbation:
    """Return ltzoo's perturbation for a method of the reference; one stage of SSE-SAM has gamma 0 or 1."""
    if method == "sgd":
        return NoPerturbation()
    if method == "sam":
        return SAM(rho=rho_head)
    if method == "imbsam":
        return ImbSAM(rho=rho_tail, eta=eta)
    return SSESAM(rho_head=rho_head, rho_tail=rho_tail, gamma=1.0 if method == "ssesam-stage1" else 0.0, eta=eta)
