"""Lanczos steps saved to disk, so that an analysis can resume."""

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save

from ltzoo.atomic_write import atomic_write
from ltzoo.errors import InputError
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.reading.errors import ContentError
from ltzoo.reading.tensors import read_tensors


class SavedSteps:
    """Saves the Lanczos steps of one spectrum's probes from time to time, one file per step.

    Args:
        folder: folder for this spectrum only; created by the first write.
        seconds: time between writes; a spectrum that finishes sooner writes nothing. A probe needs as much disk space
            as its basis needs memory.
        clock: returns the time in seconds.
    """

    def __init__(self, folder: Path, seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.seconds, self.clock = folder, seconds, clock
        self.written = clock()

    def restore(self, probe: int, run: Lanczos) -> None:
        """Restore the saved steps into a new run, except the last.

        The product with the last vector is computed again, since its result is not saved.

        Raises:
            InputError: a file is damaged.
        """
        paths = sorted((self.folder / f"probe{probe}").glob("*.safetensors"))[: len(run.basis)]
        for m, path in enumerate(paths):
            try:
                tensors, numbers = read_tensors(path)
                vector = tensors["vector"].to(run.basis)
                alpha, beta = float(numbers["alpha"]), float(numbers["beta"])
                if vector.shape != run.next.shape or not (vector.isfinite().all() and math.isfinite(alpha + beta)):
                    raise ValueError("no finite vector of this length")
                run.next = vector
                if m + 1 < len(paths):
                    run.basis[m] = vector
                    run.alphas.append(alpha)
                    run.betas.append(beta)
            except (ContentError, KeyError, TypeError, ValueError, RuntimeError) as error:
                raise InputError(f"{path} is damaged; delete {self.folder} to restart this spectrum") from error

    def save(self, probe: int, run: Lanczos) -> None:
        """Write the steps that are not yet on disk, if enough time has passed.

        Raises:
            WriteError: a file cannot be written.
        """
        if self.clock() - self.written < self.seconds:
            return
        folder = self.folder / f"probe{probe}"
        folder.mkdir(parents=True, exist_ok=True)
        for m in range(run.steps):
            path = folder / f"{m:05}.safetensors"
            if not path.exists():
                numbers = {"alpha": repr(run.alphas[m]), "beta": repr(run.betas[m])}
                with atomic_write(path) as fresh:
                    fresh.write_bytes(save({"vector": run.basis[m].cpu().contiguous()}, numbers))
        self.written = self.clock()

    def delete(self) -> None:
        """Delete the saved steps once the spectrum is finished."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
            if not any(self.folder.parent.iterdir()):
                self.folder.parent.rmdir()
