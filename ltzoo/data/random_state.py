"""Draws that follow from a few whole numbers, and leave everybody else's as they are."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seeded_generator(*seeds: int, device: torch.device | None = None) -> torch.Generator:
    """Make a generator from whole numbers such as a seed and an epoch; sequences of one length give other draws each.

    Args:
        *seeds: numbers from 0 on.
        device: where it draws; the CPU unless given.
    """
    return torch.Generator(device or "cpu").manual_seed(_state(*seeds))


@contextmanager
def seeded(*seeds: int) -> Iterator[None]:
    """Let Python, NumPy and torch's CPU draw from these numbers for a while, as timm's transforms do.

    Args:
        *seeds: numbers from 0 on, see `seeded_generator`.
    """
    state = _state(*seeds)
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002  timm draws from there
    with torch.random.fork_rng(devices=[]):
        random.seed(state)
        np.random.seed(state % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(state)
        try:
            yield
        finally:
            random.setstate(before)
            np.random.set_state(numpy_before)  # noqa: NPY002


def draw_from(*seeds: int) -> None:
    """Let torch draw from these numbers from now on, on every device; see `seeded_generator`."""
    torch.manual_seed(_state(*seeds))


def _state(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
