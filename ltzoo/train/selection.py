"""The most accurate epochs of a run, and their weights, which belong to the same commit point as the state.

New weights are written beside the old ones. The state then names their epoch, and only after that do they replace the
old ones; a run that was killed in between does so when it is resumed.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ltzoo.errors import InputError
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.state import read_epoch, save_tensors


class Selections:
    """Compares the accuracy every so many epochs, and keeps the weights of the best epoch so far.

    Attributes:
        intervals: epochs between those that are compared, for each selection: `best` and, if it is applied, `paper`.
        best: the best accuracy of each so far, in per cent.
        epochs: its epoch, from 0.

    Args:
        folder: the run folder.
        intervals: see above.
    """

    def __init__(self, folder: RunFolder, intervals: Mapping[str, int]) -> None:
        self.folder, self.intervals = folder, dict(intervals)
        self.best = dict.fromkeys(self.intervals, -1.0)
        self.epochs: dict[str, int] = {}

    def compare(self, overall: float, epoch: int, is_last: bool, model: nn.Module, write: bool) -> None:
        """Compare an epoch with the best so far, and write its weights if it is better.

        Args:
            overall: its accuracy.
            epoch: from 0.
            is_last: whether it is the run's last one, which is always compared.
            model: with its weights.
            write: whether this process writes.
        """
        for selection, interval in self.intervals.items():
            if (is_last or (epoch + 1) % interval == 0) and overall > self.best[selection]:
                self.best[selection], self.epochs[selection] = overall, epoch
                if write:
                    fresh = self.folder.newly_selected(selection)
                    save_tensors(fresh, model.state_dict(), {"epoch": str(epoch)})

    def progress(self) -> dict[str, Any]:
        """Return what the state stores of it."""
        return {"best": self.best, "best_epochs": self.epochs}

    def adopt(self, epoch: int) -> None:
        """Let an epoch's weights replace those selected before; the state that names the epoch is written."""
        for selection, selected in self.epochs.items():
            if selected == epoch:
                self.folder.newly_selected(selection).replace(self.folder.selected(selection))

    def restore(self, progress: Mapping[str, Any], settle: bool) -> None:
        """Take over what the state stores, and let the weights be those that it names.

        Args:
            progress: the progress in the state.
            settle: whether this process writes.

        Raises:
            InputError: the weights that the state names are missing or damaged.
        """
        self.best, self.epochs = dict(progress["best"]), dict(progress.get("best_epochs", {}))
        for selection in self.intervals if settle else ():
            path, fresh = self.folder.selected(selection), self.folder.newly_selected(selection)
            if "best_epochs" not in progress:
                self._restore_older(selection, progress["epochs"])
            elif selection in self.epochs:
                epoch = self.epochs[selection]
                if read_epoch(path) != epoch and read_epoch(fresh) == epoch:
                    fresh.replace(path)
                if read_epoch(path) != epoch:
                    raise InputError(
                        f"{path} does not have the weights of epoch {epoch + 1}, which the state names; start the run "
                        "again in another --output"
                    )
            fresh.unlink(missing_ok=True)

    def _restore_older(self, selection: str, done: int) -> None:
        """Version 0.2 replaced the weights before it wrote the state, which did not name their epoch."""
        epoch = read_epoch(self.folder.selected(selection))
        if epoch is not None and epoch < done:
            self.epochs[selection] = epoch
        else:  # of an epoch that is to be trained again
            self.best[selection] = -1.0
