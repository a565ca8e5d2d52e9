"""A loss over given images as a function of the weights: value, gradient and Hessian-vector products."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel

from ltzoo.errors import InputError, first_line

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images and labels in chunks of any size; iterated once per value, gradient or product."""


class Curvature:
    """L(w) = sum_i c_i * loss_i(w) / sum_i c_i over some images, with c_i the weight of image i's class.

    Sums over all chunks are divided once, so the chunk size affects rounding only. BatchNorm uses its running
    statistics; with those of a chunk, the loss of an image would depend on the others in the chunk.

    Args:
        model: is switched to evaluation mode; its trainable parameters are w.
        criterion: maps logits (B, C) and labels (B,) to one loss per image.
        batches: the images.
        class_weights: (C,) weights; None for all 1.

    Raises:
        InputError: the model is compiled or has no trainable parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[[Tensor, Tensor], Tensor],
        batches: Batches,
        class_weights: Tensor | None = None,
    ) -> None:
        # By torch.compile(model), or in place by model.compile().
        if any(hasattr(module, "_orig_mod") or module._compiled_call_impl for module in model.modules()):
            raise InputError(
                "the model is compiled, and compiled code has no second derivative; pass the model before torch.compile"
            )
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self.parameters:
            raise InputError("the model has no trainable parameter, so its loss has no curvature; set requires_grad")
        self.model, self.criterion, self.batches, self.class_weights = model.eval(), criterion, batches, class_weights
        self._kept: list[tuple[Sequence[Tensor | None], float]] | None = None
        self._kept_at: list[int] = []
        self.size = sum(parameter.numel() for parameter in self.parameters)
        self.dtype, self.device = self.parameters[0].dtype, self.parameters[0].device

    def value(self) -> float:
        """Compute L(w)."""
        total = share = 0.0
        with torch.no_grad():
            for summed, weight in self._sums():
                total, share = total + float(summed), share + weight
        return total / _not_zero(share)

    def gradient(self) -> Tensor:
        """Compute the gradient of L at w, (P,)."""
        total, share = self._zeros(), 0.0
        for summed, weight in self._sums():
            with _derivative(""):
                total += self._flat(torch.autograd.grad(summed, self.parameters, allow_unused=True))
            share += weight
        return total / _not_zero(share)

    def product(self, vector: Tensor) -> Tensor:
        """Compute H @ vector, with H the Hessian of L at w, by differentiating the gradient again.

        Args:
            vector: (P,), the concatenation of the flattened trainable parameters' directions.

        Returns:
            (P,).

        Raises:
            InputError: the loss or a layer has no second derivative, or the product is not finite.
        """
        if self._kept is not None and self._versions() != self._kept_at:
            raise InputError("the weights have changed inside gradients_kept; leave it first")
        parts = self.split(vector)
        total, share = self._zeros(), 0.0
        with _plain_attention():
            for first, weight in self._gradients() if self._kept is None else self._kept:
                total += self._flat(self._along(first, parts))
                share += weight
        total /= _not_zero(share)
        if not bool(total.isfinite().all()):
            raise InputError("a Hessian-vector product is not finite: the weights have diverged; analyse earlier ones")
        return total

    @contextmanager
    def gradients_kept(self, most_bytes: int) -> Iterator[bool]:
        """Keep the gradient of every chunk with its graph, if memory allows: a product then costs a third less.

        The batches must be the same in each iteration, and the weights must not change meanwhile.

        Args:
            most_bytes: maximum memory of the graphs.

        Yields:
            Whether the graphs are kept.
        """
        sizes: dict[int, int] = {}

        def count(saved: Tensor) -> Tensor:
            storage = saved.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return saved

        kept = []
        with _plain_attention(), torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
            for first, weight in self._gradients():
                kept.append((first, weight))
                if sum(sizes.values()) > most_bytes:
                    kept.clear()
                    break
        self._kept, self._kept_at = kept or None, self._versions() if kept else []
        try:
            yield bool(kept)
        finally:
            self._kept = None

    def split(self, vector: Tensor) -> list[Tensor]:
        """Split a vector (P,) into tensors of the trainable parameters' shapes."""
        pieces = vector.split([parameter.numel() for parameter in self.parameters])
        return [piece.view(parameter.shape) for piece, parameter in zip(pieces, self.parameters, strict=True)]

    def _versions(self) -> list[int]:
        """Return each parameter's version counter, since hooks hide in-place changes from autograd's own check."""
        return [parameter._version for parameter in self.parameters]

    def _gradients(self) -> Iterator[tuple[Sequence[Tensor | None], float]]:
        """Yield each chunk's gradient, to be differentiated again, and the sum of its weights."""
        for summed, weight in self._sums():
            yield self._first(summed), weight

    def _first(self, summed: Tensor) -> Sequence[Tensor | None]:
        """Compute the gradient of a chunk's sum with its graph, so that it can be differentiated again."""
        once = _differentiable_once(summed)
        if once is not None:
            raise InputError(f"the loss or the model has no second derivative: {once} is marked once_differentiable")
        with _derivative("second "):
            return torch.autograd.grad(summed, self.parameters, create_graph=True, allow_unused=True)

    def _along(self, first: Sequence[Tensor | None], parts: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Differentiate the product of a chunk's gradient and a vector."""
        pairs = [(g, v) for g, v in zip(first, parts, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            raise InputError("the loss has no second derivative: its gradient does not depend on the weights")
        gradients, vectors = zip(*pairs, strict=True)
        with _derivative("second "):
            return torch.autograd.grad(
                gradients, self.parameters, vectors, allow_unused=True, retain_graph=self._kept is not None
            )

    def _sums(self) -> Iterator[tuple[Tensor, float]]:
        """Yield the weighted sum of losses and the sum of weights of each chunk."""
        for images, labels in self.batches:
            labels = labels.to(self.device)
            losses = self.criterion(self.model(images.to(self.device, self.dtype)), labels)
            if losses.shape != labels.shape:
                raise InputError(
                    f"the loss must return one value per image, {tuple(labels.shape)}, not {tuple(losses.shape)}; "
                    'use reduction="none"'
                )
            if self.class_weights is None:
                yield losses.sum(), len(labels)
            else:
                weights = self.class_weights.to(self.device, self.dtype)[labels]
                yield (weights * losses).sum(), float(weights.sum())

    def _zeros(self) -> Tensor:
        return torch.zeros(self.size, dtype=self.dtype, device=self.device)

    def _flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Concatenate one tensor per parameter to a vector; None counts as zeros."""
        pairs = zip(tensors, self.parameters, strict=True)
        return torch.cat([(torch.zeros_like(p) if t is None else t.detach()).reshape(-1) for t, p in pairs])


def _plain_attention() -> AbstractContextManager:
    """Make torch compute attention with plain products, since its fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


@contextmanager
def _derivative(order: str) -> Iterator[None]:
    """Turn torch's differentiation errors into one-line input errors."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise InputError(f"the loss or the model has no {order}derivative: {first_line(error)}") from error


def _not_zero(share: float) -> float:
    """Raise if the sum of weights is 0."""
    if share == 0:
        raise InputError(
            "there are no images, or all their class weights are 0; "
            "batches are iterated repeatedly, so do not pass a generator"
        )
    return share


def _differentiable_once(loss: Tensor) -> str | None:
    """Return the name of a function in the loss's graph that is marked once_differentiable, or None.

    `torch.autograd.grad` does not raise the error that such a function leaves in the graph and treats its derivative
    as constant, so the product would be silently wrong.
    """
    seen, pending = set(), [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function = getattr(node, "_forward_cls", None)  # of a torch.autograd.Function written in Python
        code = getattr(getattr(function, "backward", None), "__code__", None)
        if function is not None and code is not None and code.co_qualname.startswith(once_differentiable.__name__):
            return str(function.__name__)
        pending += [above for above, _ in node.next_functions]
    return None
