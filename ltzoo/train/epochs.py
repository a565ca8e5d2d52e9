"""The epochs of a run: each is trained step by step, evaluated and saved."""

import math
from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor

from ltzoo.data import RandomStream, make_groups
from ltzoo.data.batches import FeatureBatches, TrainBatches, TrainLoader, mix_batch
from ltzoo.errors import InputError, Interrupted, counted
from ltzoo.train.interrupts import Agreement, Interrupts
from ltzoo.train.measuring import measure
from ltzoo.train.preparation import Preparation
from ltzoo.train.processes import reported
from ltzoo.train.progress import Progress
from ltzoo.train.run_folder import Row
from ltzoo.train.saving import Saved
from ltzoo.train.state import PartialEpoch
from ltzoo.train.step import Step


class Epochs:
    """Trains, evaluates and saves the remaining epochs of a run; a signal stops it after a step, which is saved.

    Args:
        prepared: recipe, options and device of the run.
        batches: to train on.
        eval_batches: to measure.
        step: trains the model.
        saved: what the run has saved; it also saves each epoch.
        display: shows progress.
        interrupts: receives signals.
    """

    def __init__(
        self,
        prepared: Preparation,
        batches: TrainBatches | TrainLoader | FeatureBatches,
        eval_batches: Iterable[tuple[Tensor, Tensor]],
        step: Step,
        saved: Saved,
        display: Progress,
        interrupts: Interrupts,
    ) -> None:
        self.prepared, self.accelerator, self.clock = prepared, prepared.accelerator, prepared.clock
        self.batches, self.eval_batches = batches, eval_batches
        self.step, self.saved, self.display, self.interrupts = step, saved, display, interrupts
        self.groups = make_groups(prepared.recipe.groups, prepared.images.benchmark)
        self.agreement = Agreement(self.accelerator.num_processes)

    def train(self) -> Generator[None, None, None]:
        """Train the epochs, pausing after each step.

        Raises:
            InputError: training diverged; the last state is kept.
            Interrupted: a signal asked the run to stop; its last step is saved.
        """
        epochs = self.prepared.recipe.schedule.epochs
        for epoch in range(self.saved.done, epochs):
            with self.interrupts.deferred():
                row = yield from self._train_epoch(epoch)
                if self.prepared.options.val_interval.measures(epoch + 1, epochs):
                    row |= self._evaluate(epoch)
                if self.accelerator.is_main_process:
                    self.saved.save(self.step, epoch, row)
                    self.display.epoch(row, self._rates(row))
                self.saved.done, self.saved.partial = epoch + 1, None
                self._stop_if_asked()

    def _train_epoch(self, epoch: int) -> Generator[None, None, Row]:
        """Train one epoch; returns its row of `summary.csv`, without accuracies."""
        recipe, step, began = self.prepared.recipe, self.step, self.clock()
        if self.saved.partial is None:
            step.begin(epoch)
        self.reached = self.saved.partial or PartialEpoch(0, torch.zeros((), device=self.accelerator.device), 0.0)
        first, total, began = self.reached.step, self.reached.total, began - self.reached.seconds
        # Partners lie in the same process, so that all processes can mix the batch alike.
        drawn_by = () if recipe.partners is not None else (self.accelerator.process_index,)
        seeds = (self.prepared.options.seed, epoch, RandomStream.MIXING, *drawn_by)
        views = [view.in_epoch(epoch) for view in recipe.views]
        for number, (images, targets) in enumerate(reported(self.accelerator, self.batches.epoch(epoch, first)), first):
            mixed = mix_batch(images, targets, views, *seeds, number)
            # The loss is the mean over the batch of all processes.
            total += step(*mixed) * self.batches.sizes[number]
            self.display.step()
            self.reached = PartialEpoch(number + 1, total, self.clock() - began)
            self._stop_if_asked(self.reached)
            try:
                yield
            except GeneratorExit:  # another run beside this one was asked to stop, and saved first
                if self.interrupts.saving:
                    self.saved.save_partial_epoch(step, self.reached)
                raise
        finite = step.end()
        train_loss = float(total) / sum(self.batches.sizes)
        if not (math.isfinite(train_loss) and finite):
            partial = self.saved.partial
            last = f"{counted(partial.step, 'step')} of epoch {epoch + 1}" if partial else f"epoch {epoch}"
            kept = f"the state after {last} is kept" if epoch or partial else "nothing was kept"
            raise InputError(
                f"training diverged in epoch {epoch + 1} of {self.saved.folder.path}: the loss is {train_loss}; "
                f"{kept}; lower the learning rate or the radius, or train in float32"
            )
        return {
            "epoch": epoch,
            "train_loss": train_loss,
            "lr": step.lr,
            **recipe.perturbation.radii(epoch, recipe.schedule.epochs),
            "seconds": self.clock() - began,
        }

    def _evaluate(self, epoch: int) -> Row:
        """Measure the current weights, and save them if they are the best so far."""
        began = self.clock()
        # Several processes measure to the end, since their shares can have different numbers of batches.
        batches = self._until_asked(self.eval_batches) if self.accelerator.num_processes == 1 else self.eval_batches
        overall, by_group = measure(self.step, batches, self.accelerator, self.groups, self.prepared.on_features)
        last = epoch + 1 == self.prepared.recipe.schedule.epochs
        self.saved.selections.compare(overall, epoch, last, self.step.evaluated, self.accelerator.is_main_process)
        return {"overall": overall, **by_group, "eval_seconds": self.clock() - began}

    def _until_asked(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches to measure, until a signal asks the run to stop: its steps are saved then."""
        for batch in batches:
            self._stop_if_asked(self.reached)
            yield batch

    def _stop_if_asked(self, partial: PartialEpoch | None = None) -> None:
        """Save the epoch's steps, unless it is saved as a whole, and raise `Interrupted` if a signal was received."""
        number = self.agreement(self.interrupts.number)
        if number is not None:
            self.interrupts.number = number  # so that runs beside this one are saved, for which each process is needed
            if partial is not None:
                self.saved.save_partial_epoch(self.step, partial)
            raise Interrupted(number, agreed=True)

    def _rates(self, row: Row) -> str:
        """Describe the throughput of training and of the loader; empty for images that are gathered in memory."""
        if not isinstance(self.batches, TrainLoader):
            return ""
        trained = sum(self.batches.sizes) / (row["seconds"] or math.inf)
        loaded = self.batches.rate * self.accelerator.num_processes
        return f"  {trained:.0f} images/s, loader up to {loaded:.0f}"
