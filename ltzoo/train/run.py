"""One training run: prepare it, train it step by step, and finish it."""

import shlex
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from dataclasses import replace

from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.atomic_write import WriteError
from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.checkpoints.logit_prior import already_rebalanced
from ltzoo.data.batches import (
    Delivery,
    FeatureBatches,
    TrainBatches,
    TrainLoader,
    make_eval_batches,
    make_train_batches,
)
from ltzoo.errors import counted
from ltzoo.recipes import Recipe
from ltzoo.train.checkpoints import Evaluation, applied_paper_rule, check_half, write_final_checkpoint
from ltzoo.train.cuda_graph import CapturedStep, CaptureError
from ltzoo.train.earlier_parts import earlier_parts, parts_in_words
from ltzoo.train.epochs import Epochs
from ltzoo.train.feature_batches import feature_batches, feature_source
from ltzoo.train.head import compute_head
from ltzoo.train.images import batch_settings
from ltzoo.train.interrupts import Interrupts
from ltzoo.train.options import TrainOptions
from ltzoo.train.preparation import Preparation, prepare_run
from ltzoo.train.processes import on_main_process
from ltzoo.train.progress import Progress
from ltzoo.train.record import FailedCapture
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.run_resources import RunResources
from ltzoo.train.saving import Saved, weights_of
from ltzoo.train.selection import Selections
from ltzoo.train.step import Step


class Run:
    """A training run of one recipe and one seed.

    `train` calls `prepare`, `steps` and `finish`. `prepare` writes nothing; `steps` writes the state into the run
    folder, and `finish` the checkpoint and the figures.

    Args:
        recipe: the recipe to train.
        options: data, output and seed.
        resources: the run's own stream, memory pool and random states, in which all of it is computed.
        side_by_side: number of runs that take turns on the device, including this one.
        alone: whether the command trains no other run.
        interrupts: receives signals; a run that is asked to stop saves its last step first.
    """

    accelerator: Accelerator
    model: nn.Module
    prepared: Preparation
    batches: TrainBatches | TrainLoader | FeatureBatches
    eval_batches: Iterable[tuple[Tensor, Tensor]]
    saved: Saved

    def __init__(
        self,
        recipe: Recipe,
        options: TrainOptions,
        resources: RunResources,
        side_by_side: int = 1,
        alone: bool = True,
        interrupts: Interrupts | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.recipe, self.options, self.resources, self.side_by_side = recipe, options, resources, side_by_side
        self.interrupts, self.clock = interrupts or Interrupts(), clock
        self.folder = RunFolder(options.output / recipe.name / f"seed{options.seed}")
        self.claimed = ExitStack()
        self.label = "" if alone else f"{recipe.name}.seed{options.seed}: "
        # Each selection compares the accuracy every so many epochs, and keeps the best accuracy so far.
        rule = applied_paper_rule(recipe, options.val_interval)
        self.selections = Selections(self.folder, {"best": 1} | ({"paper": rule.interval} if rule else {}))

    def train(self) -> Generator[None, None, RunFolder]:
        """Prepare the run, train it and finish it, pausing after each step.

        Returns:
            The run folder of the finished run.

        Raises:
            CaptureError: a step could not be captured; the run folder says so, and the run can be resumed eagerly, but
                in another process.
            InputError: data, folder, model or device cannot be used, or training diverged; the last good state is kept.
            Interrupted: a signal asked the run to stop; its last step is saved.
        """
        self.prepare()
        with self.claimed:

            def claim() -> bool:
                document, subset = self.prepared.record.document(), self.prepared.images.subset.to_dict()
                mine = self.folder.claim(document, subset, self.options.resume, self.interrupts.held)
                self.claimed.enter_context(mine)
                return self.folder.metrics.exists()

            finished = on_main_process(self.accelerator, claim)
            if not finished:
                self._record_earlier_parts()
                try:
                    yield from self.steps()
                except CaptureError as error:
                    self._record_failed_capture(str(error))
                    raise
                self.finish()
        if finished:
            self.saved.check_not_missed(self.recipe.schedule.epochs + 1)
            if self.options.half:
                check_half(self.folder)
        return self.folder

    def abandon(self) -> None:
        """Remove the run folder if nothing was saved in it; called while the run waits for other processes in vain."""
        self.claimed.__exit__(SystemExit, SystemExit(2), None)  # close() would keep the folder, as if all were well

    def _record_earlier_parts(self) -> None:
        """Add the earlier parts of a resumed run to the record, and bring `recipe.yaml` up to date."""
        record, folder = self.prepared.record, self.folder
        now = record.document()["run"]
        parts = on_main_process(self.accelerator, lambda: earlier_parts(folder.recorded(), now, folder.last_state))
        if parts:
            record = record.with_how({EARLIER_PARTS: parts})
            self.prepared = replace(self.prepared, record=record)
            self.saved.record = record
        if self.accelerator.is_main_process and folder.recorded() != record.document()["run"]:
            folder.write_recipe(record.document())

    def _record_failed_capture(self, reason: str) -> None:
        """Record in the run folder that steps are eager after the last saved one; nothing is computed."""
        partial = self.saved.partial
        failed = FailedCapture(len(self.saved.history) + 1, reason, partial.step + 1 if partial else 1)
        self.folder.write_recipe(self.prepared.record.with_how(failed.recorded()).document())

    # Prepare

    def prepare(self) -> None:
        """Load images and model, check that everything fits, and choose the remaining options; nothing is written.

        Raises:
            InputError: data, folder, model or device cannot be used.
        """
        prepared = prepare_run(self.recipe, self.options, self.folder, self.side_by_side)
        self.prepared = replace(prepared, clock=self.clock)
        self.recipe, self.options = self.prepared.recipe, self.prepared.options
        self.accelerator, self.model = self.prepared.accelerator, self.prepared.model
        recipe, options, images = self.recipe, self.options, self.prepared.images
        data_set = images.benchmark.data_set
        processes = self.accelerator.process_index, self.accelerator.num_processes
        where = self.accelerator.device, bool(options.channels_last), *processes, options.workers or 0
        self.delivery = delivery = Delivery(*where)
        settings = batch_settings(recipe, data_set, options.seed)
        self.batches = make_train_batches(images.train, settings, delivery)
        self.eval_batches = make_eval_batches(images.measured, data_set, delivery)
        self.saved = Saved(self.folder, self.prepared.record, options, self.selections, self.accelerator)

    # Steps

    def steps(self) -> Generator[None, None, None]:
        """Train the remaining epochs, pausing after each step, from the last saved state."""
        epochs = self.recipe.schedule.epochs
        self.display = Progress(epochs, len(self.batches), self.label, silent=not self.accelerator.is_main_process)
        if self.prepared.on_features:
            self.batches, self.eval_batches = feature_batches(self.prepared, self.delivery, self.display.say)
        if not on_main_process(self.accelerator, self.folder.last_state.exists):
            self._compute_head()
        self._make_step()
        saved = self.saved
        if saved.resume(self.step):
            self.display.resume(saved.done, saved.partial.step if saved.partial else 0)
        if self.options.trackers:
            self.accelerator.init_trackers("ltzoo", config={"recipe": self.recipe.name, "seed": self.options.seed})
        self._announce()
        if self.recipe.head.computed and self.accelerator.is_main_process:
            self.folder.write_history([])
        try:
            parts = self.batches, self.eval_batches, self.step, saved, self.display, self.interrupts
            yield from Epochs(self.prepared, *parts).train()
        except (KeyboardInterrupt, GeneratorExit, WriteError):
            if self.folder.path.exists():
                steps = (
                    f"{counted(saved.partial.step, 'step')} of epoch {saved.done + 1}, and " if saved.partial else ""
                )
                self.display.say(f"{steps}{saved.done} of {epochs} epochs are saved; continue with --resume")
            raise
        finally:
            self.display.close()
            for tracker in self.accelerator.trackers:
                tracker.finish()

    def _make_step(self) -> None:
        counts, options = self.prepared.record.benchmark.class_counts, self.options
        arguments = (self.recipe, counts, self.model, self.accelerator, options.seed, options.compile_backend)
        if self.prepared.not_captured is None:
            self.step: Step = CapturedStep(*arguments, resources=self.resources)
        else:
            self.step = Step(*arguments, on_features=self.prepared.on_features)

    def _compute_head(self) -> None:
        """Compute a head that is not trained, or the class vectors that it begins with."""
        compute_head(self.model, self.recipe.head, self._training_features)

    def _training_features(self) -> tuple[Tensor, Tensor]:
        """Return the features of the un-augmented training images, and their labels."""
        source = feature_source(self.prepared, self.delivery, self.display.say)
        if self.options.cache_features is None:
            self.display.say(f"first one pass over the training images, for the head {self.recipe.head.name}")
        stored = source.get(self.prepared.images.train, "train")
        return stored.features, stored.labels

    def _announce(self) -> None:
        steps = f", {counted(len(self.batches), 'step')} per epoch" if self.recipe.schedule.epochs else ""
        done, partial = self.saved.done, self.saved.partial
        begins = f", from epoch {done + 1}" if done or partial else ""
        begins += f", step {partial.step + 1}" if partial else ""
        record = self.prepared.record
        earlier = record.how.get(EARLIER_PARTS)
        begins += f" (before: {parts_in_words(earlier, record.versions)})" if earlier else ""
        self.display.say(f"{self.folder.path}: {record.in_words()}{steps}{begins}")
        if self.prepared.not_captured and self.accelerator.device.type == "cuda":
            self.display.say(f"the step is not captured: {self.prepared.not_captured}")

    # Finish

    def finish(self) -> None:
        """Write checkpoint, figures and plots of the last epoch."""
        if self.accelerator.is_main_process:
            how = self.accelerator.device, self.options.workers or 0
            evaluation = Evaluation(self.prepared.record, self.prepared.images.measured, *how, self.options.half)
            write_final_checkpoint(self.folder, weights_of(self.step), self.saved.history, evaluation)
            cache, key = self.options.cache_features, self.prepared.record.how.get("measured_features")
            balanced = already_rebalanced(self.recipe, self.prepared.record.benchmark.class_counts)
            if cache is not None and key and not balanced:
                words = (str(cache / f"measured-{key}.safetensors"), "--model", f"local-dir:{self.folder.checkpoint}")
                line = shlex.join(("ltzoo", "posthoc", *words))
                self.display.say(f"to re-balance this head without training: {line}")
        self.accelerator.wait_for_everyone()
