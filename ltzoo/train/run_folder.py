"""The run folder: its paths, its lock and its text files."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from filelock import FileLock, Timeout

from ltzoo.atomic_write import write_errors, write_text
from ltzoo.errors import InputError
from ltzoo.reading.content import read_content
from ltzoo.reading.errors import ContentError, why
from ltzoo.reading.tables import parse_numbers
from ltzoo.reading.yaml_text import read_yaml
from ltzoo.recipes import to_yaml
from ltzoo.train.same_run import check_same_run

SUMMARY_COLUMNS = (
    "epoch",
    "train_loss",
    "overall",
    "head",
    "mid",
    "tail",
    "lr",
    "rho",
    "rho_head",
    "rho_tail",
    "seconds",
    "eval_seconds",
)
"""Columns of `summary.csv`. Epochs count from 0, accuracies are in per cent; cells without a value are blank."""

Row = dict[str, float | None]

_LARGEST_SUMMARY = 2**24
"""Bytes of `summary.csv`: a hundred thousand epochs."""


@dataclass(frozen=True)
class RunFolder:
    """`OUTPUT/NAME/seedN/` and the paths in it.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe with all its settings, overrides and the record of the run, as YAML."""
        return self.path / "recipe.yaml"

    @property
    def subset(self) -> Path:
        """Indices of the training images."""
        return self.path / "subset.json"

    @property
    def summary(self) -> Path:
        """The training curve, one row per epoch."""
        return self.path / "summary.csv"

    @property
    def last_state(self) -> Path:
        """The state that a run is resumed from."""
        return self.path / "state" / "last.safetensors"

    def selected(self, selection: str) -> Path:
        """Weights of the most accurate epoch: `best` of those measured, `paper` of those that the paper compares."""
        return self.path / "state" / f"{selection}.safetensors"

    def newly_selected(self, selection: str) -> Path:
        """Weights that become the selected ones once the state that names their epoch is written."""
        return self.path / "state" / f"{selection}.next.safetensors"

    @property
    def saved_epochs(self) -> Path:
        """The folder of the checkpoints of epochs."""
        return self.path / "epochs"

    def saved_epoch(self, epoch: int, epochs: int) -> Path:
        """The checkpoint after an epoch, counted from 1, of a run of `epochs` epochs; it has no figures."""
        return self.saved_epochs / f"epoch{epoch:0{len(str(epochs))}}"

    @property
    def checkpoint(self) -> Path:
        """The last epoch's model, in the layout of a Hub repository."""
        return self.path / "checkpoint"

    @property
    def metrics(self) -> Path:
        """The figures; this file exists once the run is finished."""
        return self.path / "metrics.json"

    @contextmanager
    def claim(
        self,
        document: Mapping[str, Any],
        subset: Mapping[str, Any],
        resume: bool,
        signals_held: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Iterator[None]:
        """Lock the folder for this process; create it, or check that it belongs to the same run.

        Args:
            document: the content of `recipe.yaml`.
            subset: the content of `subset.json`.
            resume: whether an existing run may be resumed.
            signals_held: entered while a folder in which nothing was saved is removed, so that no signal interrupts
                that.

        Raises:
            InputError: another process uses the folder, or it has a run that may not or cannot be resumed.
            WriteError: it cannot be written. Neither it nor a new parent folder is left then.
        """
        self.check_free(resume)
        if self.path.exists():
            self._check_same(document, subset)
        lock = FileLock(self.path / "state" / "lock", timeout=0, thread_local=False)  # see Run.abandon
        missing = [folder for folder in self.last_state.parents if not folder.exists()]
        try:
            with write_errors(self.path):
                self.last_state.parent.mkdir(parents=True, exist_ok=True)
                self._acquire(lock)
            if self._was_saved() and not self.last_state.exists() and not self.metrics.exists():
                raise InputError(
                    f"{self.last_state} is missing, but {self.path} has trained epochs; put the file back, "
                    "or start the run again in another --output"
                )
            if not self.recipe.exists():
                write_text(self.subset, json.dumps(subset))
                self.write_recipe(document)
            yield
        except BaseException:
            with signals_held():
                kept = self._was_saved() or self.metrics.exists() or "capture_failed" in self.recorded()
                if lock.is_locked and not kept:
                    # Nothing was trained, or found out: remove the folder, so that the next attempt can begin.
                    shutil.rmtree(self.path, ignore_errors=True)
                    missing.append(self.path.parent)
                for folder in missing:
                    with suppress(OSError):
                        folder.rmdir()  # if it is empty
            raise
        finally:
            lock.release()

    def _acquire(self, lock: FileLock) -> None:
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"the run folder {self.path} is in use by another process; wait for it") from error

    def write_recipe(self, document: Mapping[str, Any]) -> None:
        """Write `recipe.yaml`, replacing an existing one.

        Args:
            document: the recipe and the record of the run.
        """
        write_text(self.recipe, to_yaml(document))

    def check_free(self, resume: bool) -> None:
        """Check that the folder does not exist, or may be resumed.

        Raises:
            InputError: it exists, and `resume` is false.
        """
        if self.path.exists() and not resume:
            raise InputError(
                f"the run folder {self.path} exists; add --resume to continue it, or name another --output"
            )

    def check_creatable(self) -> None:
        """Check that the folder can be created, or written to if it exists; nothing is left.

        Raises:
            WriteError: it cannot.
        """
        with write_errors(self.path):
            try:
                there = next(folder for folder in (self.path, *self.path.absolute().parents) if folder.exists())
                Path(mkdtemp(prefix=".", dir=there)).rmdir()
            except OSError as error:  # it names the folder that was tried
                raise OSError(error.errno, error.strerror) from error

    def recorded(self) -> Mapping[str, Any]:
        """Return how the existing run computes; empty if there is none, or if it is damaged, which `claim` reports."""
        try:
            found = read_yaml(self.recipe)["run"]
        except (ContentError, KeyError, TypeError):
            return {}
        return found if isinstance(found, Mapping) else {}

    def _check_same(self, document: Mapping[str, Any], subset: Mapping[str, Any]) -> None:
        if self.recipe.exists():
            check_same_run(self.recipe, self.subset, document, subset)
            return
        # A run that stopped before its recipe was written can simply begin again.
        own = re.compile(rf"lock|{self.subset.name}|\.({self.subset.name}|{self.recipe.name})\.[0-9a-f]+\.tmp")
        if any(path.is_file() and not own.fullmatch(path.name) for path in self.path.rglob("*")):
            raise InputError(f"{self.path} has files, but no run of ltzoo; name another --output")

    def _was_saved(self) -> bool:
        """Return whether there is a state, or what is only there after one: selected weights, checkpoints, two rows."""
        states = self.last_state.parent.glob("[!.]*.safetensors")
        rows = self.summary.read_bytes().count(b"\n") - 1 if self.summary.exists() else 0
        return (
            any(not path.name.endswith(".next.safetensors") for path in states)
            or any(self.saved_epochs.glob("*"))
            or rows > 1
        )

    def read_history(self, epochs: int) -> list[Row]:
        """Read the rows of the first `epochs` epochs."""
        if not self.summary.exists():
            return []
        try:
            rows = parse_numbers(read_content(self.summary, _LARGEST_SUMMARY), SUMMARY_COLUMNS)
        except (OSError, ContentError) as error:
            raise InputError(
                f"{self.summary} is damaged ({why(error)}); start the run again in another --output"
            ) from error
        return [row for row in rows if row["epoch"] is not None and row["epoch"] < epochs]

    def write_history(self, history: Sequence[Row]) -> None:
        """Write `summary.csv`, replacing an existing one."""
        lines = [",".join(SUMMARY_COLUMNS)]
        lines += [",".join(_cell(row.get(column)) for column in SUMMARY_COLUMNS) for row in history]
        write_text(self.summary, "\n".join(lines) + "\n")


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
