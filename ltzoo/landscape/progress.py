"""What an analysis says while it runs: a bar with the time left on a terminal, plain lines elsewhere."""

import sys

from tqdm import tqdm

_STEPS = 20
"""Steps that a probe is first thought to take."""


class Progress:
    """Reports an analysis to standard error. A spectrum counts as its images, once for each probe.

    Args:
        images: of all spectra that are to be measured, once for each probe.
    """

    def __init__(self, images: int) -> None:
        self.bar = tqdm(
            total=images,
            unit="image",
            dynamic_ncols=True,
            disable=None,  # where standard error is no terminal
            bar_format="{l_bar}{bar}| {elapsed} so far, {remaining} left{postfix}",
        )

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.bar.write(text, file=sys.stderr)

        self.done, self.most = 0.0, _STEPS

    def step(self, label: str, probe: int, steps: int, images: int) -> None:
        """Show a step of a probe. That it takes as many as the longest so far is a guess, made before it ends."""
        self.most = max(self.most, steps)
        self.bar.n = round(self.done + images * steps / (self.most + 1))
        self.bar.set_postfix_str(f" {label}, probe {probe + 1}, step {steps}", refresh=False)
        self.bar.refresh()

    def count(self, images: int) -> None:
        """Count a probe of a spectrum as done."""
        self.done += images
        self.bar.n = round(self.done)

    def close(self) -> None:
        """Take the bar down."""
        self.bar.close()
