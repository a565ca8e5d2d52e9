"""Checks of what model and criterion returned in a step: one line that says what was wrong and what to do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from ltzoo.sharpness.table import Table

_LAST_OPERATIONS = 64
"""Operations before the logits whose precision is looked at: more than any classifier has."""


def check_outputs(outputs: Any, table: Table, scaler: GradScaler | None, criterion: object) -> None:
    """Check that the result of a forward pass has what the criterion asks for, and logits that fit the table.

    Raises:
        ValueError: outputs are missing; the logits cannot be differentiated or have other classes; or they are in
            float16 without a loss scaler.
    """
    asks = getattr(criterion, "asks", ())
    missing = sorted(name for name in asks if getattr(outputs, name, None) is None)
    if missing:
        raise ValueError(
            f"the loss asks for {', '.join(missing)}, which the forward pass did not return: "
            "return ltzoo.losses.Outputs with them"
        )
    logits = getattr(outputs, "logits", outputs)
    if not isinstance(logits, Tensor):
        return
    if logits is not outputs and not callable(getattr(outputs, "float", None)):
        raise ValueError(
            f"{type(outputs).__name__} has logits and no float(), which would convert half precision: "
            "return ltzoo.losses.Outputs"
        )
    classes = table.num_classes
    if logits.ndim == 2 and logits.shape[1] != classes:
        raise ValueError(
            f"the model has {logits.shape[1]} classes, the table {classes}: build it from the class counts of the "
            "images that are trained on"
        )
    if not logits.requires_grad:
        raise ValueError("the logits do not depend on a trainable parameter: was the forward pass under no_grad?")
    if torch.float16 in _precisions(logits) and (scaler is None or not scaler.is_enabled()):
        raise ValueError("in float16 small gradients become 0: pass the loss scaler as scaler=, or use bfloat16")


def _precisions(logits: Tensor) -> set[torch.dtype]:
    """Return the dtypes of the last operations: Accelerate converts logits to float32, cosine classifiers are in it."""
    found, ahead, seen = {logits.dtype}, [logits.grad_fn], set[torch.autograd.graph.Node]()
    while ahead and len(seen) < _LAST_OPERATIONS:
        node = ahead.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        found.update(metadata.dtype for metadata in node._input_metadata)
        ahead.extend(following for following, _ in node.next_functions)
    return found


def check_losses(losses: object, targets: Tensor, criterion: Callable[[Any, Tensor], Tensor]) -> None:
    """Check that a criterion returned one loss per image.

    Raises:
        ValueError: it returned something else.
    """
    if not isinstance(losses, Tensor):
        raise ValueError(f"criterion must return one loss per image, a tensor, not {type(losses).__name__}")
    if losses.shape != targets.shape:
        hint = ": pass reduction='none'" if hasattr(criterion, "reduction") or losses.ndim == 0 else ""
        raise ValueError(
            f"criterion must return one loss per image, {tuple(targets.shape)}, not {tuple(losses.shape)}{hint}"
        )


def check_graph(losses: Tensor) -> None:
    """Check, where a parameter got no gradient, that reentrant checkpointing is not the reason.

    Raises:
        ValueError: activations are checkpointed with `use_reentrant=True`, which hides parameters from autograd.
    """
    seen, ahead = set(), [losses.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        if node.name() == "CheckpointFunctionBackward":
            raise ValueError(
                "activations are checkpointed with use_reentrant=True, which hides parameters: use use_reentrant=False"
            )
        seen.add(node)
        ahead.extend(following for following, _ in node.next_functions)
