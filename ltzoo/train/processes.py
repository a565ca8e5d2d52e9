"""What several processes must do once, or decide alike."""

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

_PATIENCE = timedelta(hours=6)
"""How long processes wait for one: it fetches weights, looks through images, and writes the figures in the end."""


def join_processes() -> PartialState:
    """Join the processes that a launcher started; where there are CPUs alone, Accelerate does so only if it is told."""
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=launched and not torch.accelerator.is_available(), timeout=_PATIENCE)


def say(accelerator: Accelerator, text: str) -> None:
    """Tell the user something, once."""
    if accelerator.is_main_process:
        print(text, file=sys.stderr, flush=True)


def decide(accelerator: Accelerator, ask: Callable[[], _Answer]) -> _Answer:
    """Let the main process do something; all get its answer, or its refusal.

    Args:
        accelerator: knows the processes.
        ask: called in the main process alone.

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


def together(accelerator: Accelerator, ask: Callable[[], _Answer]) -> _Answer:
    """Let every process do something, one of each machine first: the others find what it fetched. All refuse, or none.

    Args:
        accelerator: knows the processes.
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
    """See that every process gets an image of every batch; returns how many it gets at the least.

    Args:
        smallest: images of the smallest batch, over all processes.
        processes: how many there are.

    Raises:
        InputError: a batch is too small for that.
    """
    if smallest < processes:
        raise InputError(
            f"the smallest batch of an epoch has {smallest} images, fewer than the {processes} processes; "
            "choose another --batch-size, or launch fewer"
        )
    return smallest // processes
