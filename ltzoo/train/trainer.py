"""The trainer: from a recipe to a finished run folder."""

import math
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.data import (
    IMPORTED,
    EvalBatches,
    LabelledImages,
    Subset,
    TrainBatches,
    load_held_out,
    load_subset,
    load_test,
    load_train,
    make_groups,
    read_subset,
)
from ltzoo.errors import InputError
from ltzoo.evaluate import class_accuracy, group_accuracy, predict
from ltzoo.recipes import Recipe, build_model
from ltzoo.train.capture import CapturedStep, obstacle
from ltzoo.train.compute import (
    choose_channels_last,
    choose_threads,
    device_name,
    make_accelerator,
    make_forward,
    try_out,
)
from ltzoo.train.facts import RunFacts, gather_facts
from ltzoo.train.finish import finish_run
from ltzoo.train.keep import check_not_passed, keep_epoch
from ltzoo.train.options import TrainOptions
from ltzoo.train.processes import check_shares, decide
from ltzoo.train.progress import Progress
from ltzoo.train.run_folder import Row, RunFolder
from ltzoo.train.state import load_state, save_state, save_tensors
from ltzoo.train.step import Step


def training(
    recipe: Recipe, options: TrainOptions, alone: bool = True, side_by_side: int = 1
) -> Generator[None, None, RunFolder]:
    """Train a recipe, or finish its training, a step each time that the generator is advanced.

    Args:
        recipe: what to train.
        options: data, output and seed.
        alone: no other run is trained by the same command.
        side_by_side: runs that take turns, this one among them.

    Returns:
        The run folder, finished.

    Raises:
        InputError: data, folder, model or device cannot be used, or the loss is no longer a number; the last good
            state is kept.
    """
    folder = RunFolder(options.output / recipe.name / f"seed{options.seed}")
    accelerator = make_accelerator(recipe.precision, options.trackers, folder.path)
    device = accelerator.device
    decide(accelerator, lambda: folder.check_free(options.resume))
    wanted = recipe.subset if options.subset is None else read_subset(options.subset)
    # One process of a machine fetches; the others find what it fetched.
    with accelerator.local_main_process_first():
        where = (options.data_dir, options.download)
        if options.hold_out is None:
            train_images, subset = load_train(recipe.data, wanted, *where)
            eval_images = load_test(recipe.data, *where)
        else:
            train_images, subset, eval_images = load_held_out(recipe.data, wanted, options.hold_out, *where)
    if isinstance(wanted, Subset) and not _is_rules_own(wanted, recipe, options):
        recipe = replace(recipe, subset=IMPORTED)
    check_shares(len(train_images.labels), recipe.batch_size, accelerator.num_processes)
    if options.channels_last is None:
        options = replace(options, channels_last=choose_channels_last(recipe.precision, device))
    if device.type == "cpu":
        torch.set_num_threads(options.threads or choose_threads(recipe))
    torch.manual_seed(options.seed)
    model = build_model(recipe)
    try_out(model, recipe, options.compile_backend)
    against = obstacle(recipe, accelerator) if options.capture else "it is not asked for"
    how = {
        "device": device.type,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "channels_last": options.channels_last,
        "capture": against is None,
        "torchcompile": options.compile_backend,
        "val_interval": options.val_interval,
    }
    facts = gather_facts(recipe, options.seed, subset, how, device_name(device), side_by_side, options.hold_out)

    with ExitStack() as held:

        def begin() -> bool:
            held.enter_context(folder.claim(facts.document(), subset.to_dict(), options.resume))
            return folder.metrics.exists()

        finished = decide(accelerator, begin)
        if not finished:
            label = "" if alone else f"{recipe.name}.seed{options.seed}: "
            run = _Training(facts, options, accelerator, folder, model, train_images, eval_images, label)
            yield from run.steps(against)
    if finished:
        past = recipe.schedule.epochs + 1
        decide(accelerator, lambda: check_not_passed(folder, options.save_epochs, recipe, past))
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
        facts: RunFacts,
        options: TrainOptions,
        accelerator: Accelerator,
        folder: RunFolder,
        model: nn.Module,
        train_images: LabelledImages,
        eval_images: LabelledImages,
        label: str,
    ) -> None:
        recipe, device = facts.recipe, accelerator.device
        data_set, channels_last = recipe.data.data_set, bool(options.channels_last)
        self.facts, self.recipe, self.options = facts, recipe, options
        self.accelerator, self.folder, self.label = accelerator, folder, label
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(device).to(memory_format=memory_format)
        self.batches = TrainBatches(
            train_images,
            data_set,
            recipe.augmentation,
            recipe.batch_size,
            options.seed,
            device,
            channels_last,
            accelerator.process_index,
            accelerator.num_processes,
        )
        self.eval_images = eval_images
        self.eval_batches = EvalBatches(eval_images, data_set, device=device, channels_last=channels_last)
        self.groups = make_groups(recipe.groups, recipe.data)
        # How often each selection looks at the accuracy, and the best that it saw.
        self.intervals = {"best": 1} | ({"paper": recipe.paper_rule.interval} if recipe.paper_rule else {})
        self.best = dict.fromkeys(self.intervals, -1.0)
        self.done = 0
        self.history: list[Row] = []

    def steps(self, against_capture: str | None) -> Generator[None, None, None]:
        """Train what is left of the epochs, then write checkpoint, figures and pictures.

        Args:
            against_capture: why the step is not captured; None to capture it.
        """
        epochs, main = self.recipe.schedule.epochs, self.accelerator.is_main_process
        display = Progress(epochs, len(self.batches), self.label, silent=not main)
        arguments = (self.recipe, self.model, self.accelerator, self.options.seed, self.options.compile_backend)
        if against_capture is None:
            self.step: Step = CapturedStep(*arguments, say=display.say)
        else:
            self.step = Step(*arguments)
        step = self.step
        if decide(self.accelerator, self.folder.last_state.exists):
            progress = load_state(self.folder.last_state, step)
            self.done, self.best = progress["epochs"], progress["best"]
            self.history = self.folder.read_history(self.done)
            wanted = self.options.save_epochs
            decide(self.accelerator, lambda: check_not_passed(self.folder, wanted, self.recipe, self.done))
            if main:
                self.save_checkpoint(self.done)
            display.resume(self.done)
        if self.options.trackers:
            self.accelerator.init_trackers("ltzoo", config={"recipe": self.recipe.name, "seed": self.options.seed})
        begins = f", from epoch {self.done + 1}" if self.done else ""
        display.say(f"{self.folder.path}: {self.facts.in_words()}, {len(self.batches)} steps an epoch{begins}")
        if against_capture and self.accelerator.device.type == "cuda":
            display.say(f"the step is not captured: {against_capture}")
        try:
            for epoch in range(self.done, epochs):
                row = yield from self.train_epoch(epoch, display)
                if main:
                    if (epoch + 1) % self.options.val_interval == 0 or epoch + 1 == epochs:
                        row |= self.evaluate(epoch)
                    self.keep(epoch, row)
                    self.save_checkpoint(epoch + 1)
                    display.epoch(row)
        except (KeyboardInterrupt, GeneratorExit):
            display.say(f"{len(self.history)} of {epochs} epochs are kept; --resume goes on from there")
            raise
        finally:
            display.close()
            for tracker in self.accelerator.trackers:
                tracker.finish()
        if main:
            device = self.accelerator.device
            finish_run(self.folder, self.facts, self.weights(), self.history, self.eval_images, device)
        self.accelerator.wait_for_everyone()

    def train_epoch(self, epoch: int, display: Progress) -> Generator[None, None, Row]:
        """Train one epoch; its row of `summary.csv`, without accuracies."""
        recipe, step, began = self.recipe, self.step, time.perf_counter()
        step.begin(epoch)
        total = torch.zeros((), device=self.accelerator.device)
        left = len(self.batches.labels)
        for images, targets in self.batches.epoch(epoch):
            # Over all processes, as the loss is.
            count = min(recipe.batch_size, left)
            total += step(images, targets) * count
            left -= count
            display.step()
            yield
        sound = step.end()
        train_loss = float(total) / len(self.batches.labels)
        if not (math.isfinite(train_loss) and sound):
            kept = f"the state after epoch {epoch} is kept" if epoch else "nothing was kept"
            raise InputError(
                f"training diverged in epoch {epoch + 1} of {self.folder.path}: the loss is {train_loss}; {kept}; "
                "lower the learning rate or the radius, or train in float32"
            )
        return {
            "epoch": epoch,
            "train_loss": train_loss,
            "lr": step.lr,
            **recipe.perturbation.radii(epoch, recipe.schedule.epochs),
            "seconds": time.perf_counter() - began,
        }

    def evaluate(self, epoch: int) -> Row:
        """Measure the weights as they are, in the run's precision, and keep them where no earlier epoch did as well."""
        began, model = time.perf_counter(), self.step.evaluated
        # The pass of the step may be compiled for the weights in training; the average has weights of its own.
        forward = self.step.forward if model is self.model else make_forward(model, self.accelerator, None)
        predictions = predict(model, self.eval_batches, forward=forward)
        # The predicted classes alone: an overflow in reduced precision costs accuracy here, not the run.
        right = predictions.predicted == predictions.labels
        overall = 100 * float(right.double().mean())
        per_class = class_accuracy(predictions.predicted, predictions.labels, len(self.recipe.data.class_counts))
        last = epoch + 1 == self.recipe.schedule.epochs
        for selection, interval in self.intervals.items():
            if (last or (epoch + 1) % interval == 0) and overall > self.best[selection]:
                self.best[selection] = overall
                save_tensors(self.folder.selected(selection), model.state_dict(), {"epoch": str(epoch)})
        return {
            "overall": overall,
            **group_accuracy(per_class, self.groups),
            "eval_seconds": time.perf_counter() - began,
        }

    def weights(self) -> dict[str, Tensor]:
        """Copy the state dict that counts to the CPU."""
        return {key: value.cpu().contiguous() for key, value in self.step.evaluated.state_dict().items()}

    def save_checkpoint(self, done: int) -> None:
        """Keep the checkpoint after `done` epochs if it is asked for."""
        if done in self.options.save_epochs:
            keep_epoch(self.folder, self.facts, self.weights(), done)

    def keep(self, epoch: int, row: Row) -> None:
        """Write the epoch's row and the state after it."""
        self.history.append(row)
        self.folder.write_history(self.history)
        save_state(self.folder.last_state, self.step, {"epochs": epoch + 1, "best": self.best})
        self.accelerator.log({key: value for key, value in row.items() if value is not None}, step=epoch)
