"""BatchNorm's running statistics belong to w: keep perturbed passes out of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Keep running mean, variance and batch count as they are while layers in train mode still use batch statistics.

    Setting the momentum to 0 would not do: `num_batches_tracked` would go on counting.

    Args:
        model: any module; its BatchNorm layers (timm's BatchNormAct2d and SyncBatchNorm among them) are held still.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
