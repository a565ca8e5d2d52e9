"""What a run saves while it trains, and how it is resumed from that."""

from collections.abc import Sequence
from dataclasses import replace

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from ltzoo.errors import InputError, counted
from ltzoo.train.checkpoints import check_not_missed, save_epoch
from ltzoo.train.options import TrainOptions
from ltzoo.train.processes import on_main_process
from ltzoo.train.record import RunRecord
from ltzoo.train.run_folder import Row, RunFolder
from ltzoo.train.selection import Selections
from ltzoo.train.state import PartialEpoch, load_state, own_state, save_state
from ltzoo.train.step import Step


class Saved:
    """The rows, states and checkpoints that a run has saved.

    Attributes:
        done: epochs that are saved.
        partial: how far the next epoch is saved; None if it is not begun.
        history: rows of `summary.csv`.

    Args:
        folder: the run folder.
        record: what the run's files say of it.
        options: which epochs' checkpoints are saved.
        selections: the most accurate epochs, which the state names.
        accelerator: all processes; the main one writes.
    """

    def __init__(
        self,
        folder: RunFolder,
        record: RunRecord,
        options: TrainOptions,
        selections: Selections,
        accelerator: Accelerator,
    ) -> None:
        self.folder, self.record, self.options = folder, record, options
        self.selections, self.accelerator = selections, accelerator
        self.done = 0
        self.partial: PartialEpoch | None = None
        self.history: list[Row] = []

    def resume(self, step: Step) -> bool:
        """Restore the last saved state; returns whether there is one.

        Args:
            step: takes the weights and the states of optimizer and loss.

        Raises:
            InputError: a file is damaged, `summary.csv` lacks epochs of the state, or training has passed an epoch
                whose checkpoint is to be saved.
        """
        if not on_main_process(self.accelerator, self.folder.last_state.exists):
            return False
        progress = load_state(self.folder.last_state, step)
        self.done = progress["epochs"]
        self.history = self.folder.read_history(self.done)
        if [row["epoch"] for row in self.history] != list(range(self.done)):
            raise InputError(
                f"{self.folder.summary} does not have the {counted(self.done, 'epoch')} of the saved state; "
                "put the file back, or start the run again in another --output"
            )
        if "step" in progress:
            self.partial = PartialEpoch(progress["step"], progress["total"], progress["seconds"])
        # The checkpoint of the last epoch can be saved from the state after it.
        self.check_not_missed(self.done + 1 if self.partial else self.done)
        self.selections.restore(progress, settle=self.accelerator.is_main_process)
        if self.accelerator.is_main_process and not self.partial:
            self._save_checkpoint(step, self.done)
        return True

    def check_not_missed(self, current: int) -> None:
        """Check that the checkpoints of epochs can still be saved, see `checkpoints.check_not_missed`."""
        epochs, recipe = self.options.save_epochs, self.record.recipe
        on_main_process(self.accelerator, lambda: check_not_missed(self.folder, epochs, recipe, current))

    def save(self, step: Step, epoch: int, row: Row) -> None:
        """Write an epoch's row, the state after it and, if requested, its checkpoint; in the main process alone.

        The state is the commit point: rows after it are dropped on resuming, and weights are selected if it names them.

        Args:
            step: has the state.
            epoch: from 0.
            row: its row of `summary.csv`.
        """
        self.history.append(row)
        self.folder.write_history(self.history)
        save_state(self.folder.last_state, step, {"epochs": epoch + 1, **self.selections.progress()})
        self.selections.adopt(epoch)
        self.accelerator.log({key: value for key, value in row.items() if value is not None}, step=epoch)
        self._save_checkpoint(step, epoch + 1)

    def save_partial_epoch(self, step: Step, partial: PartialEpoch) -> None:
        """Write the state after some steps of an epoch; every process takes part.

        Args:
            step: has the state.
            partial: how far the epoch is trained.
        """
        processes: Sequence = gather_object([own_state(step)])
        if self.accelerator.is_main_process:
            progress = {"epochs": self.done, **self.selections.progress()}
            save_state(self.folder.last_state, step, progress, replace(partial, processes=processes))
        # A launcher ends all processes as soon as one of them has left.
        self.accelerator.wait_for_everyone()
        self.partial = partial

    def _save_checkpoint(self, step: Step, epoch: int) -> None:
        if epoch in self.options.save_epochs:
            save_epoch(self.folder, self.record, weights_of(step), epoch)


def weights_of(step: Step) -> dict[str, Tensor]:
    """Copy the state dict of the evaluated model to the CPU."""
    stored: dict[str, Tensor] = step.evaluated.state_dict()
    return {key: value.cpu().contiguous() for key, value in stored.items()}
