"""Progress of an analysis: Lanczos steps saved to disk, so that it can resume, and the progress bar."""

import math
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save
from tqdm import tqdm

from ltzoo.atomic_write import atomic_write
from ltzoo.errors import InputError
from ltzoo.landscape.lanczos import Lanczos
from ltzoo.reading.errors import ContentError
from ltzoo.reading.tensors import read_tensors

_STEPS = 20
"""Initial guess of the steps per probe."""


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


class Progress:
    """Progress bar on standard error. Work is counted in images times probes.

    Args:
        images: images of all spectra to measure, times the probes.
    """

    def __init__(self, images: int) -> None:
        self.bar = tqdm(
            total=images,
            unit="image",
            dynamic_ncols=True,
            disable=None,  # if standard error is not a terminal
            bar_format="{l_bar}{bar}| {elapsed} so far, {remaining} left{postfix}",
        )
        self.done, self.most = 0.0, _STEPS

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.write(text, file=sys.stderr)

    def step(self, label: str, probe: int, steps: int, images: int) -> None:
        """Show a step of a probe, assuming that it takes as many steps as the longest probe so far."""
        self.most = max(self.most, steps)
        self.bar.n = round(self.done + images * steps / (self.most + 1))
        self.bar.set_postfix_str(f" {label}, probe {probe + 1}, step {steps}", refresh=False)
        self.bar.refresh()

    def count(self, images: int) -> None:
        """Count a finished probe of a spectrum."""
        self.done += images
        self.bar.n = round(self.done)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
