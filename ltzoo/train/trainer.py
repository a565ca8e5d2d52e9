"""The trainer: from a recipe to a finished run folder."""

import math
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.data import IMPORTED, make_groups, read_subset
from ltzoo.data.batches import (
    BatchSettings,
    Delivery,
    TrainLoader,
    batch_sizes,
    decodes,
    make_eval_batches,
    make_train_batches,
    mix,
)
from ltzoo.errors import InputError
from ltzoo.evaluate import class_accuracy, gather, group_accuracy, predict_classes
from ltzoo.recipes import Recipe, build_model
from ltzoo.train.capture import CapturedStep, obstacle
from ltzoo.train.compute import (
    choose_channels_last,
    choose_threads,
    choose_workers,
    device_name,
    make_accelerator,
    make_forward,
    synchronize_batchnorm,
    try_out,
)
from ltzoo.train.doubts import doubts
from ltzoo.train.facts import RunFacts, gather_facts
from ltzoo.train.finish import finish_run
from ltzoo.train.images import RunImages, is_rules_own, load_images
from ltzoo.train.initial import find_initial, load_initial
from ltzoo.train.keep import check_not_passed, keep_epoch
from ltzoo.train.options import TrainOptions
from ltzoo.train.processes import check_shares, decide, say, together
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
    initial = together(accelerator, lambda: find_initial(recipe))
    images = together(accelerator, lambda: load_images(recipe, initial, options, partial(say, accelerator)))
    for doubt in doubts(recipe, images.benchmark.class_counts):
        say(accelerator, doubt)
    if options.subset is not None and not is_rules_own(read_subset(options.subset), recipe, options):
        recipe = replace(recipe, subset=IMPORTED)
    benchmark = images.benchmark
    drawn = recipe.sampler.length(len(images.train.labels), recipe.batch_size)
    sizes = batch_sizes(drawn, recipe.batch_size, joined=decodes(images.train, recipe.augmentation))
    smallest = check_shares(min(sizes), accelerator.num_processes)
    if options.channels_last is None:
        options = replace(options, channels_last=choose_channels_last(recipe.precision, device))
    if device.type == "cpu":
        torch.set_num_threads(options.threads or choose_threads(recipe, benchmark.data_set, accelerator.num_processes))
    if options.workers is None:
        options = replace(options, workers=choose_workers(accelerator.num_processes * side_by_side))
    torch.manual_seed(options.seed)
    model = build_model(recipe, data_set=benchmark.data_set)
    try_out(model, recipe, benchmark, options.compile_backend, smallest)
    initial_sha256 = together(accelerator, lambda: load_initial(model, initial, benchmark.data_set))
    if options.sync_bn:
        model = synchronize_batchnorm(model, accelerator)
    against = obstacle(recipe, benchmark.class_counts, accelerator) if options.capture else "it is not asked for"
    how = {
        "device": device.type,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "channels_last": options.channels_last,
        "capture": against is None,
        "torchcompile": options.compile_backend,
        "val_interval": options.val_interval,
    }
    how |= {"sync_bn": True} if options.sync_bn else {}
    how |= {"initial_sha256": initial_sha256} if initial_sha256 else {}
    how |= {"measured_layout": images.measured_layout} if images.measured_layout else {}
    machine = device_name(device)
    facts = gather_facts(recipe, benchmark, options.seed, images.subset, how, machine, side_by_side, images.overrides)
    label = "" if alone else f"{recipe.name}.seed{options.seed}: "
    run = _Training(facts, options, accelerator, folder, model, images, label)

    with ExitStack() as held:

        def begin() -> bool:
            held.enter_context(folder.claim(facts.document(), images.subset.to_dict(), options.resume))
            return folder.metrics.exists()

        finished = decide(accelerator, begin)
        if not finished:
            yield from run.steps(against)
    if finished:
        past = recipe.schedule.epochs + 1
        decide(accelerator, lambda: check_not_passed(folder, options.save_epochs, recipe, past))
    return folder


class _Training:
    """A run in progress."""

    def __init__(
        self,
        facts: RunFacts,
        options: TrainOptions,
        accelerator: Accelerator,
        folder: RunFolder,
        model: nn.Module,
        images: RunImages,
        label: str,
    ) -> None:
        recipe, device = facts.recipe, accelerator.device
        data_set, channels_last = images.benchmark.data_set, bool(options.channels_last)
        self.facts, self.recipe, self.options = facts, recipe, options
        self.accelerator, self.folder, self.label = accelerator, folder, label
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(device).to(memory_format=memory_format)
        self.workers = options.workers or 0
        processes = accelerator.process_index, accelerator.num_processes
        delivery = Delivery(device, channels_last, *processes, workers=self.workers)
        settings = BatchSettings(data_set, recipe.augmentation, recipe.batch_size, options.seed, recipe.sampler)
        self.batches = make_train_batches(images.train, settings, delivery)
        self.measured = images.measured
        self.eval_batches = make_eval_batches(images.measured, data_set, delivery)
        self.groups = make_groups(recipe.groups, images.benchmark)
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
        counts = self.facts.benchmark.class_counts
        arguments = (self.recipe, counts, self.model, self.accelerator, self.options.seed, self.options.compile_backend)
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
                if (epoch + 1) % self.options.val_interval == 0 or epoch + 1 == epochs:
                    row |= self.evaluate(epoch)
                if main:
                    self.keep(epoch, row)
                    self.save_checkpoint(epoch + 1)
                    display.epoch(row, self.rates(row))
        except (KeyboardInterrupt, GeneratorExit):
            display.say(f"{len(self.history)} of {epochs} epochs are kept; --resume goes on from there")
            raise
        finally:
            display.close()
            for tracker in self.accelerator.trackers:
                tracker.finish()
        if main:
            device = self.accelerator.device
            finish_run(self.folder, self.facts, self.weights(), self.history, self.measured, device, self.workers)
        self.accelerator.wait_for_everyone()

    def train_epoch(self, epoch: int, display: Progress) -> Generator[None, None, Row]:
        """Train one epoch; its row of `summary.csv`, without accuracies."""
        recipe, step, began = self.recipe, self.step, time.perf_counter()
        step.begin(epoch)
        total = torch.zeros((), device=self.accelerator.device)
        seed, process = self.options.seed, self.accelerator.process_index
        for number, (images, targets) in enumerate(self.heard(self.batches.epoch(epoch))):
            mixed = mix(images, targets, recipe.augmentation, seed, epoch, 3, process, number)
            # Over all processes, as the loss is.
            total += step(*mixed) * self.batches.sizes[number]
            display.step()
            yield
        sound = step.end()
        train_loss = float(total) / sum(self.batches.sizes)
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
        """Measure the weights as they are, in the run's precision, and keep them where no earlier epoch did as well.

        Each process measures its own images, each image once; all of them are counted together.
        """
        began, model = time.perf_counter(), self.step.evaluated
        # The pass of the step may be compiled for the weights in training; the average has weights of its own.
        forward = self.step.forward if model is self.model else make_forward(model, self.accelerator, None)
        # The predicted classes alone: an overflow in reduced precision costs accuracy here, not the run.
        predicted, labels = map(gather, predict_classes(model, self.heard(self.eval_batches), forward=forward))
        overall = 100 * float((predicted == labels).double().mean())
        per_class = class_accuracy(predicted, labels, len(self.facts.benchmark.class_counts))
        last = epoch + 1 == self.recipe.schedule.epochs
        for selection, interval in self.intervals.items():
            if (last or (epoch + 1) % interval == 0) and overall > self.best[selection]:
                self.best[selection] = overall
                if not self.accelerator.is_main_process:
                    continue
                save_tensors(self.folder.selected(selection), model.state_dict(), {"epoch": str(epoch)})
        return {
            "overall": overall,
            **group_accuracy(per_class, self.groups),
            "eval_seconds": time.perf_counter() - began,
        }

    def heard(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches; the process that cannot read an image names it, since nobody else meets that image."""
        try:
            yield from batches
        except InputError as error:
            if not self.accelerator.is_main_process:
                print(f"error: {error}", file=sys.stderr, flush=True)
            raise

    def rates(self, row: Row) -> str:
        """Say how fast images were trained on and, where they are decoded on the way, how fast they could come."""
        if not isinstance(self.batches, TrainLoader):
            return ""
        trained = sum(self.batches.sizes) / (row["seconds"] or math.inf)
        loaded = self.batches.rate * self.accelerator.num_processes
        return f"  {trained:.0f} images/s, loader up to {loaded:.0f}"

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
