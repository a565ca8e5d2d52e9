"""Coordination of several processes: work that one of them does for all, and errors that all of them raise."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, gather_object

from ltzoo.errors import InputError

_Answer = TypeVar("_Answer")

_TIMEOUT = timedelta(hours=6)
"""How long the processes wait for one that works alone: downloading weights, scanning images, the final evaluation."""


def join_processes() -> PartialState:
    """Join the processes that a launcher started; without an accelerator, Accelerate must be told to use CPUs."""
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=launched and not torch.accelerator.is_available(), timeout=_TIMEOUT)


def print_once(accelerator: Accelerator, text: str) -> None:
    """Print a line to standard error, from the main process only."""
    if accelerator.is_main_process:
        print(text, file=sys.stderr, flush=True)


def on_main_process(accelerator: Accelerator, ask: Callable[[], _Answer]) -> _Answer:
    """Call a function in the main process; every process returns its result or raises its error.

    Args:
        accelerator: gives this process and their number.
        ask: called in the main process only.

    Raises:
        InputError: the main process raised it.
    """
    if accelerator.num_processes == 1:
        return ask()
    found: list = [None, None]
    if accelerator.is_main_process:
        try:
            found = [ask(), None]
        except InputError as error:
            found = [None, str(error)]
    answer, refusal = broadcast_object_list(found)
    if refusal is not None:
        raise InputError(refusal)
    return answer


def on_every_process(accelerator: Accelerator, ask: Callable[[], _Answer]) -> _Answer:
    """Call a function in every process, in one per machine first, so that the others find its downloads.

    If it fails in any process, all of them raise the error.

    Args:
        accelerator: gives this process and their number.
        ask: called in each process.

    Raises:
        InputError: a process raised it.
    """
    if accelerator.num_processes == 1:
        return ask()
    answers: list[_Answer] = []
    refusal = None
    with accelerator.local_main_process_first():
        try:
            answers.append(ask())
        except InputError as error:
            refusal = str(error)
    refusals = [said for said in gather_object([refusal]) if said is not None]
    if refusals:
        raise InputError(refusals[0])
    return answers[0]


def check_shares(smallest: int, processes: int) -> int:
    """Check that every process gets at least one image of every batch.

    Args:
        smallest: images in the smallest batch, over all processes.
        processes: number of processes.

    Returns:
        The smallest number of images that a process gets of a batch.

    Raises:
        InputError: a batch has fewer images than there are processes.
    """
    if smallest < processes:
        raise InputError(
            f"the smallest batch of an epoch has {smallest} images, fewer than the {processes} processes; "
            "choose another --batch-size, or launch fewer"
        )
    return smallest // processes
