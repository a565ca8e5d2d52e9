"""What of a model is trained: all of it, the head alone, all but the head, or little of what lies below the head.

Adapters (LoRA, Hu 2022) come from the library peft, which only they need. They are added to the model's layers while it
trains, and merged into the layers' weights for the checkpoint, which is a plain timm model.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import nn

from ltzoo.errors import InputError
from ltzoo.models.classifiers import classifier_of
from ltzoo.recipes import Trainable

_ADVICE = "choose another --tuning (lora, norm, bias), or --head-only"
_ADAPTED = ".lora_"
"""What the names of adapters' parameters have, and no other name of a timm model."""


def check_peft(trainable: Trainable) -> None:
    """Check that peft is installed where a recipe needs it.

    Raises:
        InputError: it is not.
    """
    if trainable.weights == "lora" and find_spec("peft") is None:
        raise InputError("LoRA needs the library peft (pip install peft); --tuning norm and bias do without")


def put_adapters(model: nn.Module, trainable: Trainable, image: tuple[int, int, int]) -> None:
    """Give a model the adapters that its recipe trains, in place; nothing changes unless it trains adapters.

    Each linear layer below the classifier gets one, and each convolution that is not grouped, dilated or padded in
    another way than by zeros. Left out are layers of a class derived from torch's, which may compute something else
    (weight standardisation), and those that the model does not call but whose weights it takes (the query, key and
    value of BEiT): an adapter beside them would do nothing. At first an adapter adds 0.

    Args:
        model: the recipe's model, with its first weights and its head.
        trainable: which weights are trained.
        image: channels, height and width of an image.

    Raises:
        InputError: peft is not installed, or no layer fits.
    """
    if trainable.lora_rank is None:
        return
    check_peft(trainable)
    from peft import LoraConfig, inject_adapter_in_model  # an optional dependency, which takes seconds to import

    names = _layers_for_adapters(model, image)
    if not names:
        raise InputError(
            f"{type(model).__name__} has no linear layer or convolution that a LoRA adapter fits; {_ADVICE}"
        )
    learned = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    # A pattern of whole names: peft takes a name in a list for the end of others too.
    pattern = "|".join(map(re.escape, names))
    rank = trainable.lora_rank
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=pattern), model)
    # peft freezes all else, also the head.
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(learned.get(name.replace(".base_layer.", "."), True))


def merge_adapters(model: nn.Module) -> None:
    """Add what the adapters have learned to the weights of their layers, and remove the adapters, in place."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "get_base_layer"):
            adapted = cast(Any, module)
            adapted.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, adapted.get_base_layer())


def freeze(model: nn.Module, trainable: Trainable) -> list[nn.Module]:
    """Freeze the weights that are not trained; what is frozen in the classifier stays so.

    Args:
        model: a timm model, with the adapters that its recipe trains.
        trainable: which weights are trained.

    Returns:
        The modules outside the classifier if it is trained alone; their running statistics are frozen only in
        evaluation mode.

    Raises:
        InputError: the model has no layer that `trainable` names.
    """
    if trainable.weights == "all":
        return []
    if trainable.weights == "backbone":
        for parameter in classifier_of(model).parameters():
            parameter.requires_grad_(False)
        return []
    head = set(classifier_of(model).modules())
    kept = set(_below_head(model, head, trainable.weights))
    if trainable.weights != "head" and not kept:
        layers = {"norm": "normalisation layer with weights", "bias": "bias", "lora": "adapter"}[trainable.weights]
        raise InputError(f"{type(model).__name__} has no {layers} below its head; {_ADVICE}")
    for module in model.modules():
        if module not in head:
            for parameter in module.parameters(recurse=False):
                if parameter not in kept:
                    parameter.requires_grad_(False)
    if trainable.weights != "head":
        return []
    return [module for module in model.modules() if head.isdisjoint(module.modules())]


def in_words(model: nn.Module, trainable: Trainable) -> str:
    """Say what of a model is trained, and how many of its parameters.

    Args:
        model: the model after `freeze`.
        trainable: which weights are trained.
    """
    learned = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in model.parameters())
    count = f"{learned:,} of {total:,} parameters are trained"
    if trainable.weights == "lora":
        adapted = [module for module in model.modules() if hasattr(module, "get_base_layer")]
        inner = {part for module in (classifier_of(model), *adapted) for part in module.modules()}
        others = sum(isinstance(module, nn.Linear | nn.Conv2d) for module in set(model.modules()) - inner)
        rest = f"{others} other linear layers and convolutions below the head have none"
        return f"{len(adapted)} layers have a LoRA adapter of rank {trainable.lora_rank}, {rest}; {count}"
    what = {
        "all": "all",
        "head": "the head",
        "backbone": "all but the head",
        "norm": "normalisation layers and head",
        "bias": "biases and head",
    }
    return f"{what[trainable.weights]}: {count}"


def _below_head(model: nn.Module, head: set[nn.Module], weights: str) -> Iterator[nn.Parameter]:
    """Yield the parameters that are trained below the classifier."""
    for name, module in model.named_modules():
        if module in head:
            continue
        for last, parameter in module.named_parameters(recurse=False):
            # All of torch's and timm's normalisation layers are called so: BatchNormAct2d, LayerNorm2d, RmsNorm, ...
            of_norm = weights == "norm" and "norm" in type(module).__name__.lower()
            of_bias = weights == "bias" and (last == "bias" or last.endswith("_bias"))
            if of_norm or of_bias or (weights == "lora" and _ADAPTED in f"{name}.{last}"):
                yield parameter


def _layers_for_adapters(model: nn.Module, image: tuple[int, int, int]) -> list[str]:
    """Name the layers that get an adapter, see `put_adapters`."""
    head = set(classifier_of(model).modules())
    names = {module: name for name, module in model.named_modules() if module not in head and _fits(module)}
    called: set[nn.Module] = set()

    def remember(module: nn.Module, *_: object) -> None:
        called.add(module)

    hooks = [module.register_forward_hook(remember) for module in names]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(next(model.parameters()).new_zeros(1, *image))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return [name for module, name in names.items() if module in called]


def _fits(module: nn.Module) -> bool:
    """Return whether an adapter computes what a change of a layer's weights would."""
    if type(module) is nn.Linear:
        return True
    plain = type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros"
    return plain and set(cast(nn.Conv2d, module).dilation) == {1}
