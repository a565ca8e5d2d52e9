"""Errors of the device and of files that a user can meet, in one line that says what to do."""

import torch

from ltzoo.errors import InputError, first_line


def as_input_error(error: Exception, run: str) -> InputError | None:
    """Explain an error of the device, such as too little memory, or of a file that the error names.

    Args:
        error: what a run raised.
        run: name of the run.

    Returns:
        The explanation; the error itself if it is one already, None if it is neither.
    """
    if isinstance(error, InputError):
        return error
    text = first_line(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator: can't allocate" in text:
        return InputError(
            f"{run} ran out of memory ({text}); its last state is kept; train fewer runs at once, choose "
            "--micro-batches, a smaller --batch-size or bfloat16"
        )
    if isinstance(error, torch.AcceleratorError):
        return InputError(
            f"{run} failed on the device ({text}); its last state is kept; ltzoo doctor examines the device"
        )
    # Without a file it is an error of a library, a socket or this program, whose traceback says where.
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return InputError(f"{run}: {error.filename} cannot be used: {error.strerror}")
    return None
