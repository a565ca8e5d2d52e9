"""BatchNorm's running statistics belong to w: keep out of them what must not enter."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def frozen_statistics(model: nn.Module) -> AbstractContextManager[None]:
    """Keep running mean, variance and batch count as they are while layers in train mode still use batch statistics.

    Setting the momentum to 0 would not do: `num_batches_tracked` would go on counting.

    Args:
        model: any module; its BatchNorm layers (timm's BatchNormAct2d and SyncBatchNorm among them) are held still.
    """
    return RunningStatistics(model).frozen()


class RunningStatistics:
    """Running mean, variance and batch count of all BatchNorm layers that keep them.

    Args:
        model: any module.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        self.buffers: list[Tensor] = []
        # The batch count comes last: it alone has a version that every forward pass in train mode raises.
        self.by_layer: list[slice] = []
        for layer in self.layers:
            tracked = (layer.running_mean, layer.running_var, layer.num_batches_tracked)
            begin = len(self.buffers)
            self.buffers += [buffer for buffer in tracked if buffer is not None]
            self.by_layer.append(slice(begin, len(self.buffers)))
        self.still = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no forward pass into them."""
        for layer in self.layers:
            layer.track_running_stats = False
        self.still = True
        try:
            yield
        finally:
            for layer in self.layers:
                layer.track_running_stats = True
            self.still = False

    def copy(self) -> list[Tensor]:
        """Copy them as they are now."""
        copies = [torch.empty_like(buffer) for buffer in self.buffers]
        # On CUDA one kernel copies many tensors, of one type.
        for dtype in {buffer.dtype for buffer in self.buffers}:
            pairs = [pair for pair in zip(copies, self.buffers, strict=True) if pair[0].dtype == dtype]
            torch._foreach_copy_([to for to, _ in pairs], [of for _, of in pairs])
        return copies

    @contextmanager
    def held(self) -> Iterator[None]:
        """Bring them back at the end: where activations are checkpointed, a backward pass runs layers again."""
        kept = [] if self.still else self.copy()
        versions = [buffer._version for buffer in self.buffers]
        try:
            yield
        finally:
            for layer in self.by_layer if kept else []:
                # Other layers' stay untouched: a graph that is kept for the next group refers to them.
                if self.buffers[layer][-1]._version != versions[layer][-1]:
                    torch._foreach_copy_(self.buffers[layer], kept[layer])

    def put_back_where(self, failed: Tensor, kept: list[Tensor]) -> None:
        """Bring a copy back if a step failed, without asking the device.

        Args:
            failed: a bool scalar on the device.
            kept: what `copy` gave.
        """
        for buffer, before in zip(self.buffers, kept, strict=True):
            buffer.copy_(torch.where(failed, before, buffer))
