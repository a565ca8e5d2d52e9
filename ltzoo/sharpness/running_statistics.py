"""Running statistics: keep perturbed passes and repeated passes out of them, and undo failed steps.

They are recognised as state that a forward pass can write, not by a type: besides BatchNorm, InstanceNorm with
running statistics, timm's EvoNorm and spectral normalisation (whose singular vectors are estimated anew in each pass)
have such buffers, and so may any layer of your own. A module can name buffers of its own that forward passes only
read, in an attribute `unwritten`: a loss's queue, or the weights of a momentum copy. They are not copied.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_TRACKED = ("running_mean", "running_var", "num_batches_tracked")
"""BatchNorm's. The batch count comes last: only its version is raised by every forward pass in train mode."""


class RunningStatistics:
    """All buffers that a forward pass can write.

    BatchNorm is told not to write them; what other layers write is taken back. So a network whose only such layers are
    BatchNorm's needs no copies for it. Buffers whose elements share memory cannot be written and are left alone; so are
    those that a layer names as `unwritten`.

    Args:
        *modules: any modules.
    """

    def __init__(self, *modules: nn.Module) -> None:
        layers = dict.fromkeys(layer for module in modules for layer in module.modules())
        self.layers: list[_BatchNorm] = []
        self.of_batchnorm: list[Tensor] = []
        self.by_layer: list[slice] = []
        others: list[_Layer] = []
        self.unwritten: list[tuple[str, Tensor]] = []
        for layer in layers:
            buffers = layer._buffers
            if not buffers:
                continue
            own: Collection[str] = ()
            unwritten: Collection[str] = getattr(layer, "unwritten", ())
            if (
                isinstance(layer, _BatchNorm)
                and layer.track_running_stats
                and _reads_track_running_stats(cast(type, type(layer)))
            ):
                self.layers.append(layer)
                begin, own = len(self.of_batchnorm), _TRACKED
                self.of_batchnorm += [buffer for name in _TRACKED if (buffer := buffers[name]) is not None]
                self.by_layer.append(slice(begin, len(self.of_batchnorm)))
            if len(buffers) > len(own):
                others.append(_Layer(buffers, [name for name in buffers if name not in own and name not in unwritten]))
            for name in unwritten:
                if (buffer := buffers.get(name)) is not None:
                    self.unwritten.append((f"{type(layer).__name__}.{name}", buffer))
        self.others = [layer for layer in others if layer.names]
        self.is_frozen = False

    @property
    def buffers(self) -> list[Tensor]:
        """The buffers as they are now."""
        return self.of_batchnorm + [buffer for layer in self.others for buffer in layer.now()]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let forward passes leave them as they are, at the end at the latest; layers still normalise by the batch.

        A momentum of 0 would not be enough for BatchNorm: `num_batches_tracked` would go on counting.

        Raises:
            ValueError: a pass wrote a buffer that its layer names as `unwritten`.
        """
        for layer in self.layers:
            layer.track_running_stats = False
        self.is_frozen = True
        before = [layer.now() for layer in self.others]
        kept = copies_of([buffer for buffers in before for buffer in buffers])
        versions = [buffer._version for _, buffer in self.unwritten]
        try:
            yield
        finally:
            for layer in self.layers:
                layer.track_running_stats = True
            self.is_frozen = False
            for other, buffers in zip(self.others, before, strict=True):
                other.put_back(buffers)
            copy_all([buffer for buffers in before for buffer in buffers], kept)
        for (name, buffer), version in zip(self.unwritten, versions, strict=True):
            if buffer._version != version:
                raise ValueError(f"a forward pass has written {name}, which `unwritten` names; take it out there")

    def copy(self) -> list[Tensor]:
        """Copy them as they are now."""
        return copies_of(self.buffers)

    @contextmanager
    def restored_afterwards(self) -> Iterator[None]:
        """Undo updates made within: a backward pass runs layers again where activations are checkpointed."""
        kept = [] if self.is_frozen else copies_of(self.of_batchnorm)
        versions = [buffer._version for buffer in self.of_batchnorm]
        # A layer that the forward pass did not write is not written when it runs again.
        written = [] if self.is_frozen else [layer for layer in self.others if layer.is_written()]
        others = [(layer, layer.now(), copies_of(layer.now())) for layer in written]
        versions_of_others = [[buffer._version for buffer in buffers] for _, buffers, _ in others]
        try:
            yield
        finally:
            # Do not write to other layers' buffers: a graph that is kept for the next row refers to them.
            for layer in self.by_layer if kept else []:
                if self.of_batchnorm[layer][-1]._version != versions[layer][-1]:
                    copy_all(self.of_batchnorm[layer], kept[layer])
            for (other, buffers, before), were in zip(others, versions_of_others, strict=True):
                if other.changed(buffers, were):
                    other.put_back(buffers)
                    copy_all(buffers, before)


class _Layer:
    """The buffers of a layer that cannot be told not to write them.

    Args:
        buffers: its buffers by name; the layer can put a new tensor there.
        names: those that may be written.
    """

    def __init__(self, buffers: dict[str, Tensor | None], names: Sequence[str]) -> None:
        self.buffers = buffers
        self.names = [name for name in names if _writable(buffers[name])]
        self.begun = self.now()
        self.versions = [buffer._version for buffer in self.begun]

    def now(self) -> list[Tensor]:
        """Return its buffers as they are now."""
        return cast(list[Tensor], [self.buffers[name] for name in self.names])

    def put_back(self, buffers: Sequence[Tensor]) -> None:
        """Give the layer its earlier tensors, where it has replaced them."""
        self.buffers.update(zip(self.names, buffers, strict=True))

    def changed(self, buffers: Sequence[Tensor], versions: Sequence[int]) -> bool:
        """Return whether the layer has other tensors now, or has written these."""
        both = zip(self.now(), buffers, versions, strict=True)
        return any(now is not before or now._version != version for now, before, version in both)

    def is_written(self) -> bool:
        """Return whether it was written since the step began."""
        return self.changed(self.begun, self.versions)


def _writable(buffer: Tensor | None) -> bool:
    """Return whether a pass can write a buffer and a copy can undo it."""
    return (
        buffer is not None
        and buffer.layout == torch.strided
        and not buffer.is_inference()
        and all(stride or size <= 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True))
    )


@cache
def _reads_track_running_stats(kind: type) -> bool:
    """Return whether a kind of BatchNorm looks at `track_running_stats`, in its own forward pass or in one it calls."""
    for parent in kind.__mro__:
        code = getattr(vars(parent).get("forward"), "__code__", None)
        if code is None and "forward" in vars(parent):
            return False
        if code is not None and "track_running_stats" in code.co_names:
            return True
        if code is not None and not {"super", "forward"} <= set(code.co_names):
            return False
    return False


def copies_of(buffers: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors."""
    copies = [torch.empty_like(buffer) for buffer in buffers]
    copy_all(copies, buffers)
    return copies


def copy_all(to: Sequence[Tensor], of: Sequence[Tensor]) -> None:
    """Write tensors over others of the same shapes and types."""
    if not to:
        return
    # On CUDA one kernel copies many tensors of the same type.
    with torch.no_grad():
        for dtype in {tensor.dtype for tensor in to}:
            pairs = [pair for pair in zip(to, of, strict=True) if pair[0].dtype == dtype]
            torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])


@torch.no_grad()
def restore_where(failed: Tensor, buffers: Sequence[Tensor], copies: Sequence[Tensor]) -> None:
    """Restore buffers from copies if a step failed, without making the host wait for the device.

    Args:
        failed: a bool scalar on the device.
        buffers: what may have been changed.
        copies: what they were before.
    """
    for buffer, before in zip(buffers, copies, strict=True):
        buffer.copy_(torch.where(failed, before, buffer))
