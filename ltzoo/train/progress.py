"""Progress messages of a run: a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping

from tqdm import tqdm


class Progress:
    """Reports a run to standard error.

    Args:
        epochs: number of epochs.
        steps: steps per epoch.
        label: the prefix of each line if several runs report at the same time; there is no bar then. Empty for a single
            run.
        silent: print nothing; of several processes only one reports.
    """

    def __init__(self, epochs: int, steps: int, label: str = "", silent: bool = False) -> None:
        self.epochs, self.steps, self.label, self.silent = epochs, steps, label, silent
        self.bar = (
            tqdm(total=epochs * steps, unit="step", dynamic_ncols=True)
            if sys.stderr.isatty() and not (label or silent)
            else None
        )

    def resume(self, done: int, steps: int = 0) -> None:
        """Count the epochs, and steps of the next, that were trained before the run was resumed."""
        if self.bar is not None:
            self.bar.initial = self.bar.n = done * self.steps + steps
            self.bar.refresh()

    def say(self, text: str) -> None:
        """Print lines above the bar."""
        if self.silent:
            return
        if self.bar is None:
            print(f"{self.label}{text}", file=sys.stderr, flush=True)
        else:
            self.bar.write(text, file=sys.stderr)

    def step(self) -> None:
        """Count a step."""
        if self.bar is not None:
            self.bar.update()

    def epoch(self, row: Mapping[str, float | None], rates: str = "") -> None:
        """Report a finished epoch.

        Args:
            row: its row of `summary.csv`.
            rates: text about the throughput.
        """
        epoch = int(row["epoch"] or 0) + 1
        shown = {key: row.get(key) for key in ("overall", "head", "mid", "tail")}
        accuracies = "  ".join(f"{key} {value:5.1f}" for key, value in shown.items() if value is not None)
        lr, loss, seconds = row["lr"], row["train_loss"], row["seconds"]
        self.say(
            f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}  loss {loss:.4f}  lr {lr:.3g}"
            f"{'  ' if accuracies else ''}{accuracies}  {seconds:.1f} s{rates}"
        )

    def close(self) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
