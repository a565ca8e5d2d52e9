"""The memory that a Lanczos run needs, and how much of it is free."""

import psutil
import torch

from ltzoo.errors import InputError

_OTHER_VECTORS = 8
"""Vectors of P entries besides the basis: w, its gradient, the vector and its product, temporaries of the
orthogonalisation, a sum, and the two extreme eigenvectors."""


def check_memory(parameters: int, dtype: torch.dtype, most_steps: int, device: torch.device) -> str:
    """Check that the basis of a Lanczos run fits into the free memory; activations are not counted.

    Args:
        parameters: P, the number of trainable weights.
        dtype: dtype of the vectors.
        most_steps: maximum number of basis vectors.
        device: device that holds the vectors.

    Returns:
        A message with needed and free memory.

    Raises:
        InputError: the memory does not suffice.
    """
    vector = parameters * dtype.itemsize
    needed = (min(most_steps, parameters) + _OTHER_VECTORS) * vector
    free = free_memory(device)
    message = (
        f"up to {min(most_steps, parameters)} basis vectors of {parameters:,} weights in {str(dtype)[6:]}: "
        f"{_gigabytes(needed)} of {_gigabytes(free)} free on {device}"
    )
    if needed > free:
        fitting = free // vector - _OTHER_VECTORS
        advice = f"use --max-steps {fitting} or less" if fitting > 1 else "use a device with more memory"
        raise InputError(f"{message}; {advice}")
    return message


def free_memory(device: torch.device) -> int:
    """Return the free memory of a device in bytes."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    torch.cuda.empty_cache()  # cached memory would count as used
    return torch.cuda.mem_get_info(device)[0]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
