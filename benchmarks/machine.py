"""What a benchmark runs on: the device, its threads, and a line that names them."""

import os

import torch

from ltzoo.errors import InputError
from ltzoo.train.device import cores, device_name

DEVICES = ("cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """Take the device that was asked for, and no other; Accelerate would take CUDA wherever there is one.

    Args:
        name: one of `DEVICES`.

    Raises:
        InputError: torch finds no such device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device here; use --device cpu")
    os.environ["ACCELERATE_USE_CPU"] = "1" if name == "cpu" else "0"
    return torch.device(name)


def choose_threads(threads: int | None) -> None:
    """Set the CPU threads, one a core unless told otherwise."""
    torch.set_num_threads(threads or cores())


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe_machine(device: torch.device) -> str:
    """Name device, cores, threads and torch in a line."""
    threads = f"{cores()} CPU cores, {torch.get_num_threads()} threads"
    return f"{device_name(device)}, {threads}, torch {torch.__version__}"
