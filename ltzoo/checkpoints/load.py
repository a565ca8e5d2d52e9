"""Load a model from a checkpoint, with or without its trained weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psutil
import timm
import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ltzoo.checkpoints.config import read_config
from ltzoo.checkpoints.files import CONFIG, WEIGHTS, read_file
from ltzoo.errors import InputError, first_line
from ltzoo.reading.errors import ContentError
from ltzoo.reading.tensors import parse_tensors
from ltzoo.versions import named_if_newer

_WHILE_BUILDING = (
    TypeError,
    ValueError,
    RuntimeError,
    AssertionError,
    AttributeError,
    LookupError,
    ArithmeticError,
    ImportError,
)
"""What the constructors of timm's models raise for arguments that make no sense."""

_MOST_PARAMETERS = 10_000
"""Tensors of a model; the largest of timm have some thousands."""

_FEATURES = ("features_only", "out_indices", "feature_cls")
"""Arguments for which timm wraps the model after loading its weights."""


def loading_library(architecture: str) -> Literal["timm", "ltzoo"]:
    """Return the library whose `create_model` loads a folder or repository: stock timm if it can, otherwise ltzoo.

    Args:
        architecture: the name in timm, with or without the tag of its weights.
    """
    entrypoint = timm.model_entrypoint(architecture.split(".")[0])
    return "timm" if entrypoint.__module__.startswith("timm.") else "ltzoo"


def load_checkpoint(folder: Path, pretrained: bool = True, num_classes: int | None = None, **kwargs: Any) -> nn.Module:
    """Build the model that a checkpoint describes and load its weights.

    With another number of classes or channels, timm silently skips weights that do not fit. So names and shapes are
    compared first: only the classifier may be new, and only the first convolution may be adapted.

    Args:
        folder: the checkpoint.
        pretrained: load the weights.
        num_classes: make a new classifier for this many classes, 0 for none; all other weights are loaded.
        **kwargs: for `timm.create_model`, `in_chans` and `features_only` among them.

    Raises:
        InputError: a file is missing or damaged, or the weights do not fit the model.
    """
    config = read_config(folder)
    architecture, own = config["architecture"], {"num_classes": config["num_classes"]}
    with named_if_newer(folder / CONFIG, config.get("versions")):
        described = _weights_of_model(folder, own)
    if num_classes is not None and num_classes < 0:
        raise InputError(f"num_classes must be 0 or more, not {num_classes}")
    asked = {key: value for key, value in {"num_classes": num_classes, **kwargs}.items() if value is not None}
    if not pretrained:
        _check_memory(folder, described)
        return timm.create_model(f"local-dir:{folder}", pretrained=False, **(own | asked))
    stored = _read_weights(folder, described)
    with named_if_newer(folder / WEIGHTS, config.get("versions")):
        _check_fit(folder / WEIGHTS, architecture, stored, described, free=())
    plain = {key: value for key, value in asked.items() if key not in _FEATURES}
    if plain:
        free = _adapted_by_timm(folder / WEIGHTS, config, stored, plain)
        wanted = _weights_of_model(folder, own | plain, blame_config=False)
        _check_fit(folder / WEIGHTS, architecture, stored, wanted, free)
    # timm gets the weights that were checked, and does not read the file again.
    source = {"source": "", "file": None, "state_dict": stored, "label_offset": None}
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, pretrained_cfg_overlay=source, **(own | asked))
    for module in model.modules():  # timm keeps them in the configuration
        cfg = getattr(module, "pretrained_cfg", None)
        if isinstance(cfg, dict):
            cfg.pop("state_dict", None)
    return model


def _weights_of_model(folder: Path, arguments: Mapping[str, Any], blame_config: bool = True) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint's model on the meta device, without memory for the weights.

    Args:
        folder: the checkpoint.
        arguments: for `timm.create_model`.
        blame_config: report an error as a fault of the configuration, else raise it as it is.
    """
    try:
        with torch.device("meta"), _bounded():
            return timm.create_model(f"local-dir:{folder}", pretrained=False, **arguments).state_dict()
    except _WHILE_BUILDING as error:
        if not blame_config:
            raise
        raise InputError(f"{folder / CONFIG} describes no model that timm can build: {first_line(error)}") from error


@contextmanager
def _bounded() -> Iterator[None]:
    """Stop the building of a model with too many parameters: `layers: [1000000]` would take hours.

    Raises:
        ValueError: within, it has too many.
    """
    built = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal built
        built += 1
        if built > _MOST_PARAMETERS:
            raise ValueError(f"it has more than {_MOST_PARAMETERS} parameters")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _check_memory(folder: Path, described: Mapping[str, Tensor]) -> None:
    needed, there = sum(weight.nbytes for weight in described.values()), psutil.virtual_memory().total
    if needed > there:
        raise InputError(
            f"{folder / CONFIG} describes a model of {needed / 2**30:.0f} GiB, and this machine has "
            f"{there / 2**30:.0f} GiB of memory; use a larger one"
        )


def _read_weights(folder: Path, described: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the weights; a file longer than those of the described model in float64 is refused."""
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder / WEIGHTS} is missing; only safetensors are loaded")
    needed = sum(8 * weight.numel() + 1024 for weight in described.values())
    try:
        return parse_tensors(read_file(folder, WEIGHTS, megabytes=1 + needed // 2**20))
    except ContentError as error:
        raise InputError(f"{folder / WEIGHTS} is damaged ({error}); fetch it again") from error


def _adapted_by_timm(
    path: Path, config: Mapping[str, Any], stored: Mapping[str, Tensor], asked: Mapping[str, Any]
) -> tuple[str, ...]:
    """List the layers that may differ: the classifier for other classes, the first convolution for other channels."""
    cfg = config["pretrained_cfg"]
    classifiers, stems = (_as_tuple(cfg.get(key)) for key in ("classifier", "first_conv"))
    found = classifiers if "num_classes" in asked else ()
    if "in_chans" not in asked:
        return found
    for stem in stems:
        try:
            # timm would silently use a randomly initialised layer if it cannot adapt this one.
            adapt_input_conv(asked["in_chans"], stored[f"{stem}.weight"], base_chans=cfg["input_size"][0])
        except (NotImplementedError, ValueError, AssertionError, LookupError, TypeError) as error:
            raise InputError(f"{path}: timm cannot adapt {stem} to {asked['in_chans']} channels") from error
    return found + stems


def _as_tuple(names: Any) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _check_fit(
    path: Path, architecture: str, stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor], free: tuple[str, ...]
) -> None:
    """Compare names and shapes of the stored weights with the model's, except in the layers `free`."""
    prefixes = tuple(f"{layer}." for layer in free)
    found, needed = (
        {key: tuple(weight.shape) for key, weight in weights.items() if not key.startswith(prefixes)}
        for weights in (stored, wanted)
    )
    for key, shape in needed.items():
        if found.get(key) != shape:
            raise InputError(f"{path} does not fit {architecture}: {key} is {found.get(key, 'missing')}, not {shape}")
    extra = sorted(set(found) - set(needed))
    if extra:
        raise InputError(f"{path} does not fit {architecture}: it has no parameter {extra[0]}")
