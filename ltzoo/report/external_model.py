"""External models, trained by other code: create one, load its weights, measure it like a recipe's."""

import hashlib
import importlib
import sys
from pathlib import Path

import timm
import torch
from torch import nn

from ltzoo.data import Benchmark
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import EvalOptions, evaluate_model
from ltzoo.reading.content import read_content
from ltzoo.reading.errors import ContentError
from ltzoo.reading.tensors import parse_tensors
from ltzoo.report.result import Claim, Result

_LARGEST = 2**35
"""Bytes of the weights of an external model."""


def make_model(name: str, benchmark: Benchmark) -> nn.Module:
    """Create a model.

    Args:
        name: `timm:NAME`, or `MODULE:FUNCTION`, a function without arguments; modules in the working directory are
            found too.
        benchmark: gives the number of classes and channels of a timm model.

    Raises:
        InputError: there is no such model or function, it fails, or it does not return a model.
    """
    module, colon, word = name.partition(":")
    if not colon or not word:
        raise InputError(f"--model must be timm:NAME or MODULE:FUNCTION, not {name!r}")
    try:
        if module == "timm" and (":" in word or "/" in word):
            raise InputError("timm: must be followed by the name of one of timm's own networks; nothing is downloaded")
        if module == "timm":
            channels = benchmark.data_set.channels
            return timm.create_model(word, num_classes=len(benchmark.class_counts), in_chans=channels)
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        made = getattr(importlib.import_module(module), word)()
    except (Exception, SystemExit) as error:  # anything that the module raises
        raise InputError(f"{name} cannot be created ({type(error).__name__}: {first_line(error)})") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{name} must return a torch module, not {type(made).__name__}")
    return made


def load_weights(model: nn.Module, path: Path) -> str:
    """Load a state dict; its keys must be exactly the model's.

    Args:
        model: the model.
        path: a safetensors file.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: the file is missing, is not safetensors, or does not fit the model.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"{path} must be a .safetensors file: pickles are not opened; convert it with save_file")
    try:
        content = read_content(path, _LARGEST)
        model.load_state_dict(parse_tensors(content))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ContentError as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except RuntimeError as error:
        found = " ".join(str(error).split())
        raise InputError(f"{path} does not fit the model: {found[:300]}") from error
    return hashlib.sha256(content).hexdigest()


def measure_external_model(
    model: nn.Module, benchmark: Benchmark, test: LabelledImages, groups: str, claim: Claim, device: torch.device
) -> Result:
    """Measure an external model.

    Args:
        model: a classifier of images (B, channels, height, width).
        benchmark: the benchmark that it was trained on.
        test: the test images.
        groups: the grouping rule to put first.
        claim: the accuracy that is claimed for it.
        device: where to compute.

    Returns:
        The result, without the model's name, hash and machine.

    Raises:
        InputError: the model does not accept the images, or does not return finite logits (B, C).
    """
    checked = _CheckedOutputs(model, len(benchmark.class_counts))
    return Result(
        model=type(model).__name__,
        benchmark=benchmark.name,
        architecture=type(model).__name__,
        seed=None,
        recipe=None,
        figures={"last": evaluate_model(checked, benchmark, test, groups, "as it was given", EvalOptions(device))},
        epochs={},
        curve={},
        run={},
        versions={"torch": str(torch.__version__), "timm": timm.__version__},
        subset_layout=None,
        subset_sha256=None,
        weights_sha256=None,
        weights=None,
        claim=claim,
    )


class _CheckedOutputs(nn.Module):
    """Adds timm's attribute `num_classes` to a model and checks the shape of its output.

    Args:
        model: a classifier.
        num_classes: the number of classes of the benchmark.
    """

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.model, self.num_classes = model, num_classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the logits, (B, C)."""
        try:
            logits = self.model(images)
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise InputError(
                f"the model does not accept images of shape {tuple(images.shape[1:])}: {first_line(error)}"
            ) from error
        if not isinstance(logits, torch.Tensor) or logits.shape != (len(images), self.num_classes):
            found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise InputError(f"the model must return logits ({len(images)}, {self.num_classes}), not {found}")
        return logits
