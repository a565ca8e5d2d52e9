"""Lanczos steps on the disk, so that an analysis that was stopped goes on where it was."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ltzoo.atomic_write import atomic_write
from ltzoo.errors import InputError
from ltzoo.landscape.lanczos import Lanczos


class KeptSteps:
    """Keeps the steps of the probes of one spectrum: a file a step, written from time to time.

    Args:
        folder: where; it belongs to one spectrum, and is made when there is something to keep.
        seconds: from one writing to the next; a spectrum that is done sooner leaves no file. On the disk a probe takes
            what its basis takes in memory.
        clock: gives the time in seconds.
    """

    def __init__(self, folder: Path, seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.seconds, self.clock = folder, seconds, clock
        self.written = clock()

    def restore(self, probe: int, run: Lanczos) -> None:
        """Fill a run that has not begun with what is kept of it, up to the step before the last.

        The last vector is multiplied again: what it led to was not kept.

        Raises:
            InputError: a file is damaged.
        """
        paths = sorted((self.folder / f"probe{probe}").glob("*.safetensors"))[: len(run.basis)]
        for m, path in enumerate(paths):
            try:
                with safe_open(path, "pt") as kept:
                    vector, numbers = kept.get_tensor("vector").to(run.basis), kept.metadata()
                run.next = vector
                if m + 1 < len(paths):
                    run.basis[m] = vector
                    run.alphas.append(float(numbers["alpha"]))
                    run.betas.append(float(numbers["beta"]))
            except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
                raise InputError(f"{path} is damaged; delete {self.folder} to begin this spectrum again") from error

    def keep(self, probe: int, run: Lanczos) -> None:
        """Write the steps that are not yet written, if it is time to.

        Raises:
            InputError: a file cannot be written.
        """
        if self.clock() - self.written < self.seconds:
            return
        folder = self.folder / f"probe{probe}"
        folder.mkdir(parents=True, exist_ok=True)
        for m in range(run.steps):
            path = folder / f"{m:05}.safetensors"
            if not path.exists():
                numbers = {"alpha": repr(run.alphas[m]), "beta": repr(run.betas[m])}
                try:
                    with atomic_write(path) as fresh:
                        save_file({"vector": run.basis[m].cpu().contiguous()}, fresh, numbers)
                except SafetensorError as error:
                    raise InputError(f"{path} cannot be written ({error}); make room, then --resume") from error
        self.written = self.clock()

    def forget(self) -> None:
        """Remove what was kept: the spectrum is done."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
            if not any(self.folder.parent.iterdir()):
                self.folder.parent.rmdir()
