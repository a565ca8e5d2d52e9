"""The model's classifier: its parameters, and its call in a forward pass, repeated with moved parameters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ltzoo.sharpness.ascent import Gradient


def classifier_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model's classifier, as its method `get_classifier()` gives them.

    Raises:
        ValueError: the model has no classifier with trainable parameters.
    """
    find = getattr(model, "get_classifier", None)
    found = find() if callable(find) else None
    heads = [head for head in (found if isinstance(found, tuple | list) else [found]) if isinstance(head, nn.Module)]
    if not any(parameter.requires_grad for head in heads for parameter in head.parameters()):
        raise ValueError(
            "the table moves the classifier alone, and the model has none that is trainable: it needs a method "
            "get_classifier(), as timm's models have, that returns a module with parameters"
        )
    return heads


@dataclass(frozen=True)
class _Call:
    """A call of the classifier: what it was given, what it returned, and under which autocast."""

    inputs: tuple[Any, ...]
    keywords: dict[str, Any]
    output: object
    autocast: tuple[bool, torch.dtype]


class Classifier:
    """A model's classifier, whose rows need no pass through the rest of the model: its input does not move.

    Args:
        model: a model with a method `get_classifier()`.

    Attributes:
        parameters: its trainable parameters.

    Raises:
        ValueError: it has none.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules = classifier_modules(model)
        every = (parameter for module in self.modules for parameter in module.parameters())
        self.parameters: list[Tensor] = [parameter for parameter in dict.fromkeys(every) if parameter.requires_grad]
        self._calls: list[_Call] = []
        self._outputs: object = None

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Remember the calls that a forward pass makes."""
        self.forget()

        def remember(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: object) -> None:
            if torch.compiler.is_compiling() or not isinstance(output, Tensor):
                return
            kind = output.device.type
            autocast = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
            self._calls.append(_Call(inputs, keywords, output, autocast))

        hooks = [module.register_forward_hook(remember, with_kwargs=True) for module in self.modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def returned_logits(self, outputs: Any) -> bool:
        """Return whether the recorded pass depends on the classifier through logits that its only call returned.

        Args:
            outputs: what the forward pass returned: logits, or a dataclass with logits and perhaps features.
        """
        self._outputs = outputs
        if not len(self.modules) == len(self._calls) == 1:
            return False
        if isinstance(outputs, Tensor):
            return _is_or_casts(outputs, self._calls[0].output)
        if not is_dataclass(outputs):
            return False
        given = {field.name for field in fields(outputs) if getattr(outputs, field.name) is not None}
        return given <= {"logits", "features"} and _is_or_casts(getattr(outputs, "logits", None), self._calls[0].output)

    def repeat(self, eps: Gradient) -> Any:
        """Return the outputs of the recorded pass for moved parameters; they are differentiated by all parameters.

        Args:
            eps: what is added to each of `parameters`.
        """
        (module,), (call,) = self.modules, self._calls
        moved = {p: p if step is None else p + step for p, step in zip(self.parameters, eps, strict=True)}
        by_name = {name: moved[p] for name, p in module.named_parameters(remove_duplicate=False) if p in moved}
        enabled, dtype = call.autocast
        with torch.autocast(next(iter(moved)).device.type, dtype, enabled=enabled):
            logits = torch.func.functional_call(module, by_name, call.inputs, call.keywords)
        outputs: Any = self._outputs
        return logits if isinstance(outputs, Tensor) else replace(outputs, logits=logits)

    def forget(self) -> None:
        """Release what was recorded."""
        self._calls, self._outputs = [], None


def names_of(modules: Sequence[nn.Module], parameters: Sequence[Tensor]) -> list[str]:
    """Return the name of each parameter in the modules; the first, if it has several."""
    names: dict[Tensor, str] = {}
    for module in modules:
        for name, parameter in module.named_parameters():
            names.setdefault(parameter, name)
    return [names[parameter] for parameter in parameters]


def _is_or_casts(logits: object, output: object) -> bool:
    """Return whether logits are a classifier's output, or a conversion of it to another type."""
    if logits is output:
        return True
    node = logits.grad_fn if isinstance(logits, Tensor) else None
    if not isinstance(output, Tensor) or output.grad_fn is None or node is None or node.name() != "ToCopyBackward0":
        return False
    return node.next_functions[0][0] is output.grad_fn
