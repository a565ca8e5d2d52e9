"""Coordination of several processes: work that one of them does for all, and errors that all of them raise."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, gather_object

from ltzoo.errors import InputError, first_line

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
        InputError: the main process raised it, or another error, which only the main process raises as it is.
    """
    if accelerator.num_processes == 1:
        return ask()
    found: list = [None, None]
    if accelerator.is_main_process:
        try:
            found = [ask(), None]
        except InputError as error:
            found = [None, str(error)]
        except Exception as error:
            broadcast_object_list([None, _failure(accelerator, error)])
            raise
    answer, refusal = broadcast_object_list(found)
    if refusal is not None:
        raise InputError(refusal)
    return answer


def _failure(accelerator: Accelerator, error: Exception) -> str:
    """Say to the others what ends this process; it prints its own error."""
    return f"process {accelerator.process_index} has failed: {type(error).__name__}: {first_line(error)}"


def on_every_process(accelerator: Accelerator, ask: Callable[[], _Answer]) -> _Answer:
    """Call a function in every process, in one per machine first, so that the others find its downloads.

    If it fails in any process, all of them raise the error.

    Args:
        accelerator: gives this process and their number.
        ask: called in each process.

    Raises:
        InputError: a process raised it, or another error, which only that process raises as it is.
    """
    if accelerator.num_processes == 1:
        return ask()
    answers: list[_Answer] = []
    refusal, fault = None, None
    with accelerator.local_main_process_first():
        try:
            answers.append(ask())
        except InputError as error:
            refusal = str(error)
        except Exception as error:  # the others are at the end of this block, or wait for its beginning
            refusal, fault = _failure(accelerator, error), error
    refusals = [said for said in gather_object([refusal]) if said is not None]
    if fault is not None:
        raise fault
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


def reported(accelerator: Accelerator, batches: Iterable[_Answer]) -> Iterator[_Answer]:
    """Yield batches; a process that cannot read an image prints the error itself, since the others have none.

    Args:
        accelerator: gives this process.
        batches: the batches.
    """
    try:
        yield from batches
    except InputError as error:
        if not accelerator.is_main_process:
            print(f"error: {error}", file=sys.stderr, flush=True)
        raise
