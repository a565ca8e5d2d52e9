"""Random generators seeded from a few whole numbers such as (seed, epoch, index)."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, unique

import numpy as np
import torch


@unique
class RandomStream(IntEnum):
    """What is drawn: the third number of a seed, after those of the run and the epoch.

    An epoch's order and first crops have no third number. Published runs depend on the values.
    """

    NOISE = 1
    """Perturbations."""
    MODEL = 2
    """The model's own draws, such as dropout."""
    MIXING = 3
    """Mixup, CutMix and mixed views."""
    FILES = 4
    """Augmentation of an image in a file."""
    MIRRORED = 5
    """Which images are mirrored in even epochs: drawn once a run, from (seed, 5) without an epoch. The order of epoch 5
    has the same seeds; both are kept, since published orders depend on them."""
    LOSS = 6
    """First weights of a loss."""
    VIEWS = 7
    """Crops of further views of images in memory."""
    PARTNERS = 8
    """The order of partners and, in memory, the crops of their first view."""
    PARTNER_VIEWS = 9
    """Augmentation of a partner in a file; crops of further views of partners in memory."""
    ADAPTERS = 10
    """First weights of adapters."""


def seeded_generator(*seeds: int, device: torch.device | None = None) -> torch.Generator:
    """Make a torch generator from whole numbers; different sequences of the same length give different draws.

    Args:
        *seeds: numbers from 0 on.
        device: the device that it draws on; the CPU unless given.
    """
    return torch.Generator(device or "cpu").manual_seed(_state(*seeds))


@contextmanager
def temporary_seed(*seeds: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch's CPU inside a `with` block; restore them afterwards.

    timm's transforms draw from these three.

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


def seed_torch(*seeds: int) -> None:
    """Seed torch's global generators on every device, see `seeded_generator`."""
    torch.manual_seed(_state(*seeds))


def _state(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
