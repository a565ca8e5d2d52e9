"""`--val-interval`: which epochs of a run are measured."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from ltzoo.errors import InputError
from ltzoo.recipes import Recipe

_FORM = re.compile(r"\d+(,\d+:\d+)*", re.ASCII)


@dataclass(frozen=True)
class ValInterval:
    """Which epochs of a run are measured; the last one always is. Epochs count from 1.

    Attributes:
        first: every so many epochs are measured: those whose number is a multiple of it.
        changes: pairs of an epoch and the interval from that epoch on, which the epoch's number must still be a
            multiple of.

    Raises:
        InputError: an interval is below 1, or the epochs of the changes do not increase from 2 on.
    """

    first: int = 1
    changes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if min([self.first, *(interval for _, interval in self.changes)]) < 1:
            raise InputError(f"--val-interval {self} has an interval of 0; an interval is at least 1 epoch")
        begins = [1, *(epoch for epoch, _ in self.changes)]
        if any(later <= earlier for earlier, later in pairwise(begins)):
            raise InputError(f"--val-interval {self} must change at increasing epochs, the first of them 2 or later")

    @classmethod
    def parse(cls, text: str) -> "ValInterval":
        """Read an interval such as `20`, or a schedule such as `20,160:1`: every 20th epoch, from epoch 160 on each.

        Raises:
            InputError: the text is neither.
        """
        if not _FORM.fullmatch(text):
            raise InputError(
                "--val-interval must be a number of epochs, or a schedule such as 20,160:1 (every 20th epoch, from "
                f"epoch 160 on each), not {text!r}"
            )
        first, *changes = text.split(",")
        pairs = (change.split(":") for change in changes)
        return cls(int(first), tuple((int(epoch), int(interval)) for epoch, interval in pairs))

    def __str__(self) -> str:
        return ",".join([str(self.first), *(f"{epoch}:{interval}" for epoch, interval in self.changes)])

    @property
    def recorded(self) -> int | str:
        """Its value in a run's files: a number if it never changes, else the schedule as text."""
        return str(self) if self.changes else self.first

    def within(self, epochs: int) -> "ValInterval":
        """Return the same interval for a run of `epochs` epochs, without the changes beyond its last."""
        return replace(self, changes=tuple(change for change in self.changes if change[0] <= epochs))

    def measures(self, epoch: int, epochs: int) -> bool:
        """Return whether an epoch of a run of `epochs` epochs is measured."""
        interval = next((interval for begin, interval in reversed(self.changes) if epoch >= begin), self.first)
        return epoch == epochs or epoch % interval == 0

    def covers(self, interval: int, epochs: int) -> bool:
        """Return whether a selection that looks at every `interval` epochs finds all of them measured."""
        return all(self.measures(epoch, epochs) for epoch in range(interval, epochs + 1, interval))

    def in_words(self) -> str:
        """Describe it, as in `looked at every 20 epochs, from epoch 160 on at every epoch`."""
        later = [f", from epoch {epoch} on at {_every(interval)}" for epoch, interval in self.changes]
        return f"looked at {_every(self.first)}{''.join(later)}"


EVERY_EPOCH = ValInterval()


def _every(interval: int) -> str:
    return "every epoch" if interval == 1 else f"every {interval} epochs"


def check_val_interval(val_interval: ValInterval, recipes: Iterable[Recipe]) -> None:
    """Check that a recipe reaches the epochs at which the interval changes, if it is the only one that was asked for.

    Of several recipes, each takes the changes that it reaches; a head that is computed has no epochs.

    Raises:
        InputError: the only recipe has fewer epochs.
    """
    recipe, *others = {recipe.name: recipe for recipe in recipes}.values()
    last = recipe.schedule.epochs
    beyond = [epoch for epoch, _ in val_interval.changes if epoch > last]
    if beyond and last > 0 and not others:
        raise InputError(
            f"--val-interval {val_interval} changes at epoch {beyond[0]}, but {recipe.name} has {last} epochs"
        )
