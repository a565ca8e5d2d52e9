"""Whether the vectors of an analysis fit into the memory, said before it starts."""

import psutil
import torch

from ltzoo.errors import InputError

_BESIDE_THE_BASIS = 8
"""Vectors of P entries: w and its gradient, the vector multiplied, its product and what makes it orthogonal, a sum, the
two extreme eigenvectors."""


def check_memory(parameters: int, dtype: torch.dtype, most_steps: int, device: torch.device) -> str:
    """See that the basis of a Lanczos run fits beside what is in use. What a chunk of images takes is not counted.

    Args:
        parameters: P, trainable weights.
        dtype: of the vectors.
        most_steps: vectors that a basis may come to hold.
        device: whose memory.

    Returns:
        What is taken, and what is free, in words.

    Raises:
        InputError: it does not fit.
    """
    vector = parameters * dtype.itemsize
    needed = (min(most_steps, parameters) + _BESIDE_THE_BASIS) * vector
    free = free_memory(device)
    words = (
        f"up to {min(most_steps, parameters)} basis vectors of {parameters:,} weights in {str(dtype)[6:]}: "
        f"{_gigabytes(needed)} of the {_gigabytes(free)} that are free on {device}"
    )
    if needed > free:
        fitting = free // vector - _BESIDE_THE_BASIS
        advice = f"allow {fitting} at most with --max-steps" if fitting > 1 else "use a device with more memory"
        raise InputError(f"{words}; {advice}")
    return words


def free_memory(device: torch.device) -> int:
    """Count the bytes of a device's memory that are free."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    torch.cuda.empty_cache()  # what an earlier basis has left would count as taken
    return torch.cuda.mem_get_info(device)[0]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
