"""What each run has for itself on a device that several share: CUDA stream, memory pool and random states."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ltzoo.errors import InputError

STREAMS = 32
"""Streams that torch makes per device (kStreamsPerPool in c10/cuda/CUDAStream.cpp); the next ones are these again."""

_living: "weakref.WeakSet[RunResources]" = weakref.WeakSet()


class RunResources:
    """The stream, the pool of graph memory and the states of torch's default generators that belong to one run.

    Libraries keep one workspace per stream, so two runs on one stream would share it; and a graph reads seed and offset
    of the generator with which it was captured, so two runs with one generator would draw each other's dropout.

    Args:
        device: the device of the run.

    Raises:
        InputError: each of torch's streams belongs to a run already.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu_state = torch.get_rng_state()
        self.stream: torch.cuda.Stream | None = None
        self.pool: Any = None
        if device.type == "cuda":
            self.stream = _free_stream(device)
            self.pool = torch.cuda.graph_pool_handle()
            self.generator = torch.Generator(device)
            self.generator.set_state(_default_generator(device).get_state())
        _living.add(self)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute on the run's stream, with random numbers from the run's states; not reentrant."""
        before = torch.get_rng_state()
        torch.set_rng_state(self.cpu_state)
        try:
            with self._on_device():
                yield
        finally:
            self.cpu_state = torch.get_rng_state()
            torch.set_rng_state(before)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        if self.stream is None:
            yield
            return
        # The state itself is exchanged, not its content: graphs keep the state with which they were captured.
        default = _default_generator(self.device)
        before = default.graphsafe_get_state()
        default.graphsafe_set_state(self.generator)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            default.graphsafe_set_state(before)


def _default_generator(device: torch.device) -> torch.Generator:
    torch.cuda.init()
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]


def _free_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream of torch's that no other run has."""
    taken = {resources.stream for resources in _living}
    for _ in range(STREAMS):
        stream = torch.cuda.Stream(device)
        if stream not in taken:
            return stream
    raise InputError(f"torch has {STREAMS} streams per device, and each belongs to a run; train fewer side by side")
