"""Where batches go, and which of the processes that share them gets what."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Delivery:
    """Where batches go.

    Attributes:
        device: where they are wanted.
        channels_last: their memory format.
        process: which of the processes this is, from 0.
        processes: how many share each batch, or the images to measure: each takes every `processes`-th.
        workers: processes that decode images, for each that trains; 0 to decode here.
    """

    device: torch.device
    channels_last: bool = False
    process: int = 0
    processes: int = 1
    workers: int = 0

    @property
    def memory_format(self) -> torch.memory_format:
        """The batches' memory format, as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def batch_sizes(images: int, batch_size: int, joined: bool) -> list[int]:
    """Cut an epoch into batches, over all processes.

    Args:
        images: of the epoch.
        batch_size: images a batch; the last one has what is left.
        joined: what is left joins the batch before it where it is a quarter of one at most, so that many processes can
            share it, and BatchNorm has something to see.
    """
    whole, left = divmod(images, batch_size)
    sizes = [batch_size] * whole
    if joined and sizes and left <= batch_size / 4:
        sizes[-1] += left
        return sizes
    return [*sizes, left] if left else sizes
