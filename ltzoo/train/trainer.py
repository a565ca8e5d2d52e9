"""The trainer: from a recipe to a finished run folder."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import accelerate
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.data import EvalBatches, LabelledImages, TrainBatches, load_test, load_train, make_groups
from ltzoo.errors import InputError
from ltzoo.evaluate import measure, predict
from ltzoo.recipes import Recipe, build_model
from ltzoo.sharpness import perturbed_backward
from ltzoo.train.facts import RunFacts, gather_facts
from ltzoo.train.finish import finish_run
from ltzoo.train.progress import Progress
from ltzoo.train.run_folder import Row, RunFolder
from ltzoo.train.state import load_state, save_state, save_tensors

_PIXELS_WORTH_THREADS = 100_000
"""A batch of CIFAR's has four times as many, one of the digits' a tenth."""

_MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True)
class TrainOptions:
    """What a run needs beside its recipe. None of it changes what is computed, up to rounding, but the seed.

    Attributes:
        data_dir: holds a folder a data set.
        output: the run folder is `output/NAME/seedN`.
        seed: of weights, order and augmentation.
        download: fetch a missing data set.
        resume: go on with a run that is there, or begin it.
        val_interval: epochs from one evaluation to the next; the last epoch is always evaluated.
        channels_last: memory format of images and weights.
        compile_backend: backend of `torch.compile`, None for eager.
        threads: CPU threads; None for one where images are small, else one a core.
        trackers: names of Accelerate's trackers that get each epoch's row.
    """

    data_dir: Path
    output: Path
    seed: int = 0
    download: bool = False
    resume: bool = False
    val_interval: int = 1
    channels_last: bool = False
    compile_backend: str | None = None
    threads: int | None = None
    trackers: tuple[str, ...] = ()


def train(recipe: Recipe, options: TrainOptions) -> RunFolder:
    """Train a recipe, or finish its training.

    Args:
        recipe: what to train.
        options: data, output and seed.

    Returns:
        The run folder, finished.

    Raises:
        InputError: data, folder, model or device cannot be used, or the loss is no longer a number; the last good
            state is kept.
    """
    folder = RunFolder(options.output / recipe.name / f"seed{options.seed}")
    folder.check_free(options.resume)
    accelerator = _accelerator(recipe, options, folder)
    train_images, subset = load_train(recipe.data, recipe.subset, options.data_dir, options.download)
    test_images = load_test(recipe.data, options.data_dir, options.download)
    # Float32 is float32: by default torch lets convolutions on CUDA round to TF32.
    torch.backends.cudnn.allow_tf32 = False
    if accelerator.device.type == "cpu":
        torch.set_num_threads(options.threads or _threads(recipe))
    torch.manual_seed(options.seed)
    model = build_model(recipe)
    _try_out(model, recipe, options)
    how = {
        "device": str(accelerator.device),
        "threads": torch.get_num_threads() if accelerator.device.type == "cpu" else None,
        "channels_last": options.channels_last,
        "torchcompile": options.compile_backend,
        "val_interval": options.val_interval,
    }
    facts = gather_facts(recipe, options.seed, subset, how)
    with folder.claim(facts.document(), subset.to_dict(), options.resume):
        if not folder.metrics.exists():
            _Training(recipe, options, accelerator, folder, model, train_images, test_images).run(facts)
    return folder


class _Training:
    """A run in progress."""

    def __init__(
        self,
        recipe: Recipe,
        options: TrainOptions,
        accelerator: Accelerator,
        folder: RunFolder,
        model: nn.Module,
        train_images: LabelledImages,
        test_images: LabelledImages,
    ) -> None:
        device, data_set = accelerator.device, recipe.data.data_set
        memory_format = torch.channels_last if options.channels_last else torch.contiguous_format
        self.recipe, self.options, self.accelerator, self.folder = recipe, options, accelerator, folder
        self.model = model.to(device).to(memory_format=memory_format)
        self.forward = _forward(self.model, accelerator, options.compile_backend)
        self.class_counts = torch.tensor(recipe.data.class_counts, device=device)
        self.criterion = recipe.loss.bind(recipe.data.class_counts).to(device, torch.float32)
        settings = recipe.optimizer
        self.optimizer = accelerator.prepare_optimizer(
            torch.optim.SGD(
                self.model.parameters(),
                lr=settings.lr,
                momentum=settings.momentum,
                weight_decay=settings.weight_decay,
                nesterov=settings.nesterov,
            )
        )
        self.batches = TrainBatches(
            train_images,
            data_set,
            recipe.augmentation,
            recipe.batch_size,
            options.seed,
            device,
            options.channels_last,
        )
        self.test_images = test_images
        self.test_batches = EvalBatches(test_images, data_set, device=device, channels_last=options.channels_last)
        self.groups = make_groups(recipe.groups, recipe.data)
        self.best = -1.0
        self.done = 0
        self.history: list[Row] = []

    def run(self, facts: RunFacts) -> None:
        """Train what is left of the epochs, then write checkpoint, figures and pictures."""
        if self.folder.last_state.exists():
            progress = load_state(self.folder.last_state, self.model, self.optimizer, self.accelerator.scaler)
            self.done, self.best = progress["epochs"], progress["best"]
            self.history = self.folder.read_history(self.done)
        if self.options.trackers:
            self.accelerator.init_trackers("ltzoo", config={"recipe": self.recipe.name, "seed": self.options.seed})
        epochs = self.recipe.schedule.epochs
        display = Progress(epochs, len(self.batches), self.done)
        display.say(f"{self.folder.path}: {facts.in_words()}{f', from epoch {self.done + 1}' if self.done else ''}")
        try:
            for epoch in range(self.done, epochs):
                row = self.train_epoch(epoch, display)
                if (epoch + 1) % self.options.val_interval == 0 or epoch + 1 == epochs:
                    row |= self.evaluate(epoch)
                self.keep(epoch, row)
                display.epoch(row)
        finally:
            display.close()
            self.accelerator.end_training()
        finish_run(
            self.folder,
            facts,
            {key: value.cpu().contiguous() for key, value in self.model.state_dict().items()},
            self.history,
            self.test_images,
            self.accelerator.device,
        )

    def train_epoch(self, epoch: int, display: Progress) -> Row:
        """Train one epoch; its row of `summary.csv`, without accuracies."""
        recipe, began = self.recipe, time.perf_counter()
        epochs = recipe.schedule.epochs
        lr = recipe.optimizer.lr * recipe.schedule.factor(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        table = recipe.perturbation.table(self.class_counts, epoch, epochs)
        weights = recipe.reweighting.weights(recipe.data.class_counts, epoch)
        weights = weights.to(self.accelerator.device, torch.float32)
        self.model.train()
        total = torch.zeros((), device=self.accelerator.device)
        for images, targets in self.batches.epoch(epoch):
            loss = perturbed_backward(
                self.model,
                self.criterion,
                images,
                targets,
                table,
                class_weights=weights,
                forward=self.forward,
                batchnorm=recipe.batchnorm,
                scaler=self.accelerator.scaler,
            )
            self.optimizer.step()
            self.optimizer.zero_grad()
            total += loss * len(targets)
            display.step()
        train_loss = float(total) / len(self.batches.labels)
        sound = all(bool(value.isfinite().all()) for value in self.model.state_dict().values())
        if not (math.isfinite(train_loss) and sound):
            kept = f"the state after epoch {epoch} is kept" if epoch else "nothing was kept"
            raise InputError(
                f"training diverged in epoch {epoch + 1} of {self.folder.path}: the loss is {train_loss}; {kept}; "
                "lower the learning rate or the radius, or train in float32"
            )
        return {
            "epoch": epoch,
            "train_loss": train_loss,
            "lr": lr,
            **recipe.perturbation.radii(epoch, epochs),
            "seconds": time.perf_counter() - began,
        }

    def evaluate(self, epoch: int) -> Row:
        """Measure the weights as they are, in the run's precision, and keep them if no earlier epoch did as well."""
        began = time.perf_counter()
        predictions = predict(self.model, self.test_batches, forward=self.forward)
        figures = measure(predictions, self.recipe.data.class_counts, [self.groups], f"epoch {epoch}")
        if figures.overall > self.best:
            self.best = figures.overall
            save_tensors(self.folder.best_weights, self.model.state_dict(), {"epoch": str(epoch)})
        return {
            "overall": figures.overall,
            **figures.own_groups,
            "eval_seconds": time.perf_counter() - began,
        }

    def keep(self, epoch: int, row: Row) -> None:
        """Write the epoch's row and the state after it."""
        self.history.append(row)
        self.folder.write_history(self.history)
        progress = {"epochs": epoch + 1, "best": self.best}
        save_state(self.folder.last_state, self.model, self.optimizer, self.accelerator.scaler, progress)
        self.accelerator.log({key: value for key, value in row.items() if value is not None}, step=epoch)


def _accelerator(recipe: Recipe, options: TrainOptions, folder: RunFolder) -> Accelerator:
    """Set Accelerate up."""
    known = {str(tracker) for tracker in accelerate.tracking.get_available_trackers()}
    for tracker in options.trackers:
        if tracker not in known:
            raise InputError(f"the tracker {tracker!r} is not installed; pip install it, or leave it out")
    try:
        accelerator = Accelerator(
            mixed_precision=_MIXED_PRECISION[recipe.precision],
            log_with=list(options.trackers) or None,
            project_dir=folder.path if options.trackers else None,
        )
    except ValueError as error:
        raise InputError(f"precision {recipe.precision} cannot be used here: {error}") from error
    if recipe.precision != "float32" and not accelerator.native_amp:
        # Accelerate would train in float32 and say nothing.
        raise InputError(f"{recipe.precision} cannot be used on {accelerator.device}; use bfloat16 or float32")
    if accelerator.num_processes > 1:
        raise InputError(f"training runs in one process, not {accelerator.num_processes}; launch one")
    return accelerator


def _threads(recipe: Recipe) -> int:
    """Choose the CPU threads, whatever launches the run: how many there are decides how sums are rounded.

    Threads wait for each other after every operation; a batch of small images is done before they have met.
    """
    data_set = recipe.data.data_set
    pixels = recipe.batch_size * data_set.channels * data_set.image_size**2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if pixels < _PIXELS_WORTH_THREADS else cores


def _try_out(model: nn.Module, recipe: Recipe, options: TrainOptions) -> None:
    """See, before anything is written, that the model takes the benchmark's images and torch knows the backend."""
    backends = torch.compiler.list_backends(exclude_tags=())
    if options.compile_backend is not None and options.compile_backend not in backends:
        raise InputError(f"torch.compile has no backend {options.compile_backend!r}; there are {', '.join(backends)}")
    data_set = recipe.data.data_set
    images = torch.zeros(2, data_set.channels, data_set.image_size, data_set.image_size)
    try:
        predict(model, [(images, torch.zeros(2, dtype=torch.int64))])
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{recipe.architecture} does not take images of {tuple(images.shape[1:])}: {reason}"
        ) from error


def _forward(model: nn.Module, accelerator: Accelerator, compile_backend: str | None) -> Callable[[Tensor], Tensor]:
    """Wrap the model's forward pass in autocast, and compile it where asked for; logits come out as float32."""
    compiled: Callable[[Tensor], Tensor] = model
    if compile_backend is not None:
        # The pass at w is differentiated once a group; a donated buffer would be gone after the first time.
        torch._functorch.config.donated_buffer = False
        compiled = torch.compile(model, backend=compile_backend)

    def forward(images: Tensor) -> Tensor:
        with accelerator.autocast():
            return compiled(images).float()

    return forward
