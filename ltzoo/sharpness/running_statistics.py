"""BatchNorm's running statistics: keep perturbed passes and repeated passes out of them, and undo failed steps."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def frozen_statistics(model: nn.Module) -> AbstractContextManager[None]:
    """Do not update running mean, variance and batch count; layers in train mode still normalise by the batch.

    A momentum of 0 would not be enough: `num_batches_tracked` would go on counting.

    Args:
        model: any module; its BatchNorm layers (including timm's BatchNormAct2d and SyncBatchNorm) are frozen.
    """
    return RunningStatistics(model).frozen()


class RunningStatistics:
    """Running mean, variance and batch count of all BatchNorm layers that keep them.

    Args:
        *modules: any modules.
    """

    def __init__(self, *modules: nn.Module) -> None:
        layers = dict.fromkeys(layer for module in modules for layer in module.modules())
        self.layers = [layer for layer in layers if isinstance(layer, _BatchNorm) and layer.track_running_stats]
        self.buffers: list[Tensor] = []
        # The batch count comes last: only its version is raised by every forward pass in train mode.
        self.by_layer: list[slice] = []
        for layer in self.layers:
            tracked = (layer.running_mean, layer.running_var, layer.num_batches_tracked)
            begin = len(self.buffers)
            self.buffers += [buffer for buffer in tracked if buffer is not None]
            self.by_layer.append(slice(begin, len(self.buffers)))
        self.is_frozen = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no forward pass update them."""
        for layer in self.layers:
            layer.track_running_stats = False
        self.is_frozen = True
        try:
            yield
        finally:
            for layer in self.layers:
                layer.track_running_stats = True
            self.is_frozen = False

    def copy(self) -> list[Tensor]:
        """Copy them as they are now."""
        copies = [torch.empty_like(buffer) for buffer in self.buffers]
        # On CUDA one kernel copies many tensors of the same type.
        for dtype in {buffer.dtype for buffer in self.buffers}:
            pairs = [pair for pair in zip(copies, self.buffers, strict=True) if pair[0].dtype == dtype]
            torch._foreach_copy_([to for to, _ in pairs], [of for _, of in pairs])
        return copies

    @contextmanager
    def restored_afterwards(self) -> Iterator[None]:
        """Undo updates made within: a backward pass runs layers again where activations are checkpointed."""
        kept = [] if self.is_frozen else self.copy()
        versions = [buffer._version for buffer in self.buffers]
        try:
            yield
        finally:
            for layer in self.by_layer if kept else []:
                # Do not write to other layers' buffers: a graph that is kept for the next row refers to them.
                if self.buffers[layer][-1]._version != versions[layer][-1]:
                    torch._foreach_copy_(self.buffers[layer], kept[layer])


@torch.no_grad()
def restore_where(failed: Tensor, buffers: list[Tensor], copies: list[Tensor]) -> None:
    """Restore buffers from copies if a step failed, without making the host wait for the device.

    Args:
        failed: a bool scalar on the device.
        buffers: what may have been changed.
        copies: what they were before.
    """
    for buffer, before in zip(buffers, copies, strict=True):
        buffer.copy_(torch.where(failed, before, buffer))
