"""The progress bar of an analysis."""

import sys

from tqdm import tqdm

_STEPS = 20
"""Initial guess of the steps per probe."""


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
