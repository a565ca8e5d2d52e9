"""One pass over all logits: whether each image's label ranks high, and how sure the model is of what it predicts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ltzoo.evaluate.accuracy import check_numbers
from ltzoo.evaluate.predict import Predictions

_CHUNK = 2**18
"""Logits at a time: what is computed of them stays in a core's cache."""
_CHUNKS = 32
"""Chunks that one thread takes in turn, in the same scratch space: fresh memory costs more than the arithmetic."""


@dataclass(frozen=True)
class Judged:
    """What follows from an image's logits and its label. Of equal logits the one of the lower class index ranks first.

    Attributes:
        right: (N,) bool, the label's logit is the highest.
        top5: (N,) bool, it is among the five highest.
        confidence: (N,) float64, the highest softmax probability.
    """

    right: Tensor
    top5: Tensor
    confidence: Tensor


def judge(predictions: Predictions) -> Judged:
    """Compare every logit with its image's label's, beside a few MiB of scratch space for each of torch's threads.

    Args:
        predictions: logits and labels of at least one image; the labels are classes that have a logit.

    Raises:
        InputError: a logit is not finite.
    """
    logits, labels = predictions.logits.detach(), predictions.labels
    check_numbers(logits, finite=True)
    rows = _CHUNKS * _rows(logits)
    pieces, threads = (logits.split(rows), labels.split(rows)), torch.get_num_threads()
    if min(threads, len(pieces[0])) == 1:
        parts = list(map(_judge, *pieces))
    else:
        # Each piece in one thread. Were every operation on a chunk shared among torch's threads, they would wait for
        # each other thousands of times, each time for a core that somebody else uses: seconds, not tenths of one.
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                parts = list(pool.map(_judge, *pieces))
        finally:
            torch.set_num_threads(threads)  # threads still to be made would take over what the last one was told
    right, top5, confidence = (torch.cat(column) for column in zip(*parts, strict=True))
    return Judged(right, top5, confidence)


def _rows(logits: Tensor) -> int:
    """Count the images of a chunk."""
    return max(1, _CHUNK // logits.shape[1])


def _judge(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Judge a piece, chunk by chunk: `Judged.right`, `top5` and `confidence`."""
    rows, index = _rows(logits), torch.arange(logits.shape[1])
    space, flags = (torch.empty(rows, len(index), dtype=dtype) for dtype in (torch.float64, torch.float32))
    judged = []
    for chunk, targets in zip(logits.split(rows), labels.split(rows), strict=True):
        flag, own = flags[: len(chunk)], chunk.gather(1, targets[:, None])
        # Flags in float32 are summed several times as fast as bool ones, and exactly up to 2^24 classes.
        before = torch.gt(chunk, own, out=flag).sum(dim=1)
        as_high = torch.ge(chunk, own, out=flag).sum(dim=1)
        tied = torch.nonzero((as_high > before + 1) & (before < 5)).flatten()
        if len(tied):
            before[tied] += ((chunk[tied] == own[tied]) & (index < targets[tied, None])).sum(dim=1)
        probabilities = space[: len(chunk)].copy_(chunk)
        confidence = torch.softmax(probabilities, dim=1, out=probabilities).amax(dim=1)
        judged.append((before == 0, before < 5, confidence))
    right, top5, confidence = (torch.cat(column) for column in zip(*judged, strict=True))
    return right, top5, confidence
