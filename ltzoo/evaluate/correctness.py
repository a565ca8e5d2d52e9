"""Top-1 and top-5 correctness and confidence of each image, in one pass over the logits."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.evaluate.accuracy import check_numbers
from ltzoo.evaluate.predict import Predictions

_CHUNK = 2**18
"""Logits per chunk: intermediate results stay in a core's cache."""
_CHUNKS = 32
"""Chunks per task of a thread; they share scratch space, since allocating memory costs more than the arithmetic."""


@dataclass(frozen=True)
class Correctness:
    """Correctness and confidence of each image. Among equal logits, the lower class index ranks first.

    Attributes:
        top1: (N,) bool, the label's logit is the highest.
        top5: (N,) bool, the label's logit is among the five highest.
        confidence: (N,) float64, the highest softmax probability.
    """

    top1: Tensor
    top5: Tensor
    confidence: Tensor


def image_correctness(predictions: Predictions) -> Correctness:
    """Compute top-1 and top-5 correctness and confidence with a few MiB of scratch space per thread.

    Args:
        predictions: logits and labels of at least one image; each label is below the number of logits.

    Raises:
        InputError: a logit is not finite.
    """
    logits, labels = predictions.logits.detach(), predictions.labels
    check_numbers(logits, finite=True)
    rows = _CHUNKS * _rows(logits)
    pieces, threads = (logits.split(rows), labels.split(rows)), torch.get_num_threads()
    if min(threads, len(pieces[0])) == 1:
        parts = list(map(_correctness, *pieces))
    else:
        # One thread per piece. If torch split each operation on a chunk over its threads, they would synchronise
        # thousands of times, which takes seconds instead of tenths of a second on a busy machine.
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                parts = list(pool.map(_correctness, *pieces))
        finally:
            torch.set_num_threads(threads)  # threads created later would inherit 1
    return Correctness(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _rows(logits: Tensor) -> int:
    """Number of images per chunk."""
    return max(1, _CHUNK // logits.shape[1])


def _correctness(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `top1`, `top5` and `confidence` of a piece, chunk by chunk."""
    rows, index = _rows(logits), torch.arange(logits.shape[1])
    space, flags = (torch.empty(rows, len(index), dtype=dtype) for dtype in (torch.float64, torch.float32))
    chunks = []
    for chunk, targets in zip(logits.split(rows), labels.split(rows), strict=True):
        flag, own = flags[: len(chunk)], chunk.gather(1, targets[:, None])
        # float32 flags are summed several times faster than bool ones, and exactly up to 2^24 classes.
        before = torch.gt(chunk, own, out=flag).sum(dim=1)
        as_high = torch.ge(chunk, own, out=flag).sum(dim=1)
        tied = torch.nonzero((as_high > before + 1) & (before < 5)).flatten()
        if len(tied):
            before[tied] += ((chunk[tied] == own[tied]) & (index < targets[tied, None])).sum(dim=1)
        probabilities = space[: len(chunk)].copy_(chunk)
        confidence = torch.softmax(probabilities, dim=1, out=probabilities).amax(dim=1)
        chunks.append((before == 0, before < 5, confidence))
    top1, top5, confidence = (torch.cat(column) for column in zip(*chunks, strict=True))
    return top1, top5, confidence
