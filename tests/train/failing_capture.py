"""What test_failed_capture.py starts: the command that trains, on a CPU that is said to capture, and fails at it once.

`record` runs a step in place of its graph, and raises at the given call, as torch does. The process that goes on is not
this script, but the command itself.
"""

import sys

import torch

from ltzoo.cli import train
from ltzoo.train import cuda_graph, preparation
from ltzoo.train.cuda_graph import CaptureError


def main() -> None:
    fails_at, calls = int(sys.argv[1]), []

    def record(step, warm_up, resources):
        calls.append(step)
        if len(calls) == fails_at:
            error = torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")
            raise CaptureError("CUDA error: operation not permitted when stream is capturing") from error
        loss = torch.zeros(())
        return loss, lambda: loss.copy_(step())

    cuda_graph.record = record
    preparation.why_not_captured = lambda *arguments: None
    sys.exit(train.main(sys.argv[2:]))


if __name__ == "__main__":
    main()
