"""What a run says while it runs: a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping

from tqdm import tqdm


class Progress:
    """Reports a run to standard error.

    Args:
        epochs: T.
        steps: steps an epoch.
        done: epochs that were done before.
    """

    def __init__(self, epochs: int, steps: int, done: int = 0) -> None:
        self.epochs = epochs
        self.bar = (
            tqdm(total=epochs * steps, initial=done * steps, unit="step", dynamic_ncols=True)
            if sys.stderr.isatty()
            else None
        )

    def say(self, text: str) -> None:
        """Print lines above the bar."""
        if self.bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self.bar.write(text, file=sys.stderr)

    def step(self) -> None:
        """Count a step."""
        if self.bar is not None:
            self.bar.update()

    def epoch(self, row: Mapping[str, float | None]) -> None:
        """Report a finished epoch, a row of `summary.csv`."""
        epoch = int(row["epoch"] or 0) + 1
        shown = {key: row.get(key) for key in ("overall", "head", "mid", "tail")}
        accuracies = "  ".join(f"{key} {value:5.1f}" for key, value in shown.items() if value is not None)
        lr, loss, seconds = row["lr"], row["train_loss"], row["seconds"]
        self.say(
            f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}  loss {loss:.4f}  lr {lr:.3g}"
            f"{'  ' if accuracies else ''}{accuracies}  {seconds:.1f} s"
        )

    def close(self) -> None:
        """Take the bar down."""
        if self.bar is not None:
            self.bar.close()
