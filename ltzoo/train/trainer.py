"""The trainer: from a recipe to a finished run folder."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from ltzoo.data import (
    IMPORTED,
    EvalBatches,
    LabelledImages,
    Subset,
    TrainBatches,
    load_subset,
    load_test,
    load_train,
    make_groups,
    read_subset,
    seeded_generator,
)
from ltzoo.errors import InputError
from ltzoo.evaluate import class_accuracy, group_accuracy, predict
from ltzoo.recipes import Recipe, build_model
from ltzoo.sharpness import perturbed_backward
from ltzoo.train.compute import choose_threads, make_accelerator, make_forward, try_out
from ltzoo.train.facts import RunFacts, gather_facts
from ltzoo.train.finish import finish_run
from ltzoo.train.progress import Progress
from ltzoo.train.run_folder import Row, RunFolder
from ltzoo.train.state import load_state, save_state, save_tensors


@dataclass(frozen=True)
class TrainOptions:
    """What a run needs beside its recipe. But for seed and subset, none of it is to change a figure.

    Attributes:
        data_dir: holds a folder a data set.
        output: the run folder is `output/NAME/seedN`.
        seed: of weights, order, augmentation and noise.
        subset: a file that names the training images in the place of the recipe's rule; an override of the recipe where
            they are others.
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
    subset: Path | None = None
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
    accelerator = make_accelerator(recipe.precision, options.trackers, folder.path)
    wanted = recipe.subset if options.subset is None else read_subset(options.subset)
    train_images, subset = load_train(recipe.data, wanted, options.data_dir, options.download)
    if options.subset is not None and not _is_rules_own(subset, recipe, options):
        recipe = replace(recipe, subset=IMPORTED)
    test_images = load_test(recipe.data, options.data_dir, options.download)
    # Float32 is float32: by default torch lets convolutions on CUDA round to TF32.
    torch.backends.cudnn.allow_tf32 = False
    if accelerator.device.type == "cpu":
        torch.set_num_threads(options.threads or choose_threads(recipe))
    torch.manual_seed(options.seed)
    model = build_model(recipe)
    try_out(model, recipe, options.compile_backend)
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


def _is_rules_own(subset: Subset, recipe: Recipe, options: TrainOptions) -> bool:
    """Say whether a subset from a file is the one that the recipe's rule chooses anyway."""
    if recipe.subset == IMPORTED:
        return False
    return load_subset(recipe.data, recipe.subset, options.data_dir, options.download).sha256 == subset.sha256


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
        self.forward = make_forward(self.model, accelerator, options.compile_backend)
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
        # How often each selection looks at the test set, and the best that it saw.
        self.intervals = {"best": 1} | ({"paper": recipe.paper_rule.interval} if recipe.paper_rule else {})
        self.best = dict.fromkeys(self.intervals, -1.0)
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
        begins = f", from epoch {self.done + 1}" if self.done else ""
        display.say(f"{self.folder.path}: {facts.in_words()}, {len(self.batches)} steps an epoch{begins}")
        try:
            for epoch in range(self.done, epochs):
                row = self.train_epoch(epoch, display)
                if (epoch + 1) % self.options.val_interval == 0 or epoch + 1 == epochs:
                    row |= self.evaluate(epoch)
                self.keep(epoch, row)
                display.epoch(row)
        except KeyboardInterrupt:
            display.say(f"{len(self.history)} of {epochs} epochs are kept; --resume goes on from there")
            raise
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
        noise = seeded_generator(self.options.seed, epoch, 1, device=self.accelerator.device)
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
                generator=noise,
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
        """Measure the weights as they are, in the run's precision, and keep them where no earlier epoch did as well."""
        began = time.perf_counter()
        predictions = predict(self.model, self.test_batches, forward=self.forward)
        # The predicted classes alone: an overflow in reduced precision costs accuracy here, not the run.
        right = predictions.predicted == predictions.labels
        overall = 100 * float(right.double().mean())
        per_class = class_accuracy(predictions.predicted, predictions.labels, len(self.class_counts))
        last = epoch + 1 == self.recipe.schedule.epochs
        for selection, interval in self.intervals.items():
            if (last or (epoch + 1) % interval == 0) and overall > self.best[selection]:
                self.best[selection] = overall
                save_tensors(self.folder.selected(selection), self.model.state_dict(), {"epoch": str(epoch)})
        return {
            "overall": overall,
            **group_accuracy(per_class, self.groups),
            "eval_seconds": time.perf_counter() - began,
        }

    def keep(self, epoch: int, row: Row) -> None:
        """Write the epoch's row and the state after it."""
        self.history.append(row)
        self.folder.write_history(self.history)
        progress = {"epochs": epoch + 1, "best": self.best}
        save_state(self.folder.last_state, self.model, self.optimizer, self.accelerator.scaler, progress)
        self.accelerator.log({key: value for key, value in row.items() if value is not None}, step=epoch)
