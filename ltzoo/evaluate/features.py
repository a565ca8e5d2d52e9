"""Features of un-augmented images, what a model's classifier sees of them: computed once, and kept in a file."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ltzoo.atomic_write import atomic_write
from ltzoo.errors import InputError
from ltzoo.evaluate.precision import tf32
from ltzoo.evaluate.predict import predict
from ltzoo.models.classifiers import classifier_names
from ltzoo.reading.errors import ContentError, why
from ltzoo.reading.json_text import parse_json
from ltzoo.reading.tensors import read_tensors
from ltzoo.versions import NAME, VERSION, named_if_newer

_KIND = "ltzoo features, version 2"
_AGAIN = "remove it, and train with --cache-features again"
_KNOWN = {"kind", "split", "seconds", "weights", "images", "transform", "origin", NAME, "features", "labels"}
"""Names of tensors and metadata."""


@dataclass(frozen=True)
class FeatureKey:
    """What features depend on; features with another key are other features.

    Attributes:
        weights: SHA-256 of the architecture's name and of all weights below the classifier.
        images: SHA-256 of the images and classes; where they are in files, of names, classes, sizes and modification
            times.
        transform: how an image reaches the model.
    """

    weights: str
    images: str
    transform: str

    @property
    def short(self) -> str:
        """The first digits of a hash of the key, for file names."""
        return hashlib.sha256("\n".join((self.weights, self.images, self.transform)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class FeatureOrigin:
    """Which images features are of.

    Attributes:
        class_names: what the labels mean.
        held_out: how many images, or which share, of each class were held out of the training split, if the features
            are of those; None for test and training images.
        layout: hash of the images' names and classes, see `ImageFiles.layout`; None for images in memory.
    """

    class_names: tuple[str, ...]
    held_out: int | float | None = None
    layout: str | None = None


@dataclass(frozen=True)
class StoredFeatures:
    """Features of the images of one split.

    Attributes:
        key: what they depend on.
        split: `train`, or `measured` for test or held-out images.
        features: (N, F) float32.
        labels: (N,) int64.
        seconds: how long they took to compute.
        origin: which images they are of.
    """

    key: FeatureKey
    split: str
    features: Tensor
    labels: Tensor
    seconds: float
    origin: FeatureOrigin


def features_of(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Compute the features of images in evaluation mode, in float32.

    Args:
        model: a timm model.
        batches: normalised images and labels.

    Returns:
        Features (N, F) float32 and labels (N,) int64, on the CPU.
    """
    timm_model = cast(Any, model)

    def forward(images: Tensor) -> Tensor:
        return timm_model.forward_head(timm_model.forward_features(images), pre_logits=True)

    with tf32(False):
        found = predict(model, batches, forward=forward)
    return found.logits, found.labels


def weights_key(model: nn.Module) -> str:
    """Return SHA-256 over a timm model's architecture and all weights and statistics below its classifier."""
    timm_model = cast(Any, model)
    architecture = timm_model.pretrained_cfg.get("architecture", "")
    below = tuple(f"{name}." for name in classifier_names(model))
    kept = {key: value for key, value in model.state_dict().items() if not key.startswith(below)}
    return hashlib.sha256(f"{architecture}\n{hash_tensors(kept)}".encode()).hexdigest()


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return SHA-256 over tensors by name and value."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key].detach().cpu().contiguous()
        digest.update(json.dumps([key, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_features(path: Path, stored: StoredFeatures) -> None:
    """Write features; an existing file is replaced atomically."""
    metadata = {
        NAME: VERSION,
        "kind": _KIND,
        "split": stored.split,
        "seconds": f"{stored.seconds:.3f}",
        "weights": stored.key.weights,
        "images": stored.key.images,
        "transform": stored.key.transform,
        "origin": json.dumps(asdict(stored.origin)),
    }
    with atomic_write(path) as fresh:
        fresh.write_bytes(save({"features": stored.features.contiguous(), "labels": stored.labels}, metadata))


def read_features(path: Path) -> StoredFeatures:
    """Read a file written by `write_features`.

    Raises:
        InputError: the file is missing, damaged, or not a file of features.
        NewerError: a newer version of ltzoo wrote it, and it has what this one does not know.
    """
    try:
        tensors, metadata = read_tensors(path)
    except ContentError as error:
        raise InputError(f"{path} is missing or damaged ({error}); {_AGAIN}") from error
    with named_if_newer(path, metadata, sorted({*tensors, *metadata} - _KNOWN)):
        return _read(path, tensors, metadata)


def _read(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StoredFeatures:
    if metadata.get("kind") != _KIND:
        raise InputError(f"{path} holds no {_KIND}; {_AGAIN}")
    try:
        features, labels = tensors["features"], tensors["labels"]
        key = FeatureKey(*(metadata[name] for name in ("weights", "images", "transform")))
        origin = parse_json(metadata["origin"])
        origin = FeatureOrigin(_texts(origin["class_names"]), _amount(origin["held_out"]), origin["layout"])
        stored = StoredFeatures(key, metadata["split"], features, labels, _seconds(metadata["seconds"]), origin)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {why(error)} is missing or wrong; {_AGAIN}") from error
    if features.ndim != 2 or labels.shape != features.shape[:1] or labels.dtype != torch.int64:
        raise InputError(f"{path} is damaged: {tuple(features.shape)} features, {tuple(labels.shape)} labels; {_AGAIN}")
    if not features.is_floating_point() or not features.isfinite().all():
        raise InputError(f"{path} is damaged: its features are no finite numbers; {_AGAIN}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(origin.class_names):
        raise InputError(f"{path} is damaged: its labels are not those of {len(origin.class_names)} classes; {_AGAIN}")
    return stored


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"the time {text[:40]!r}")
    return seconds


def _amount(value: Any) -> int | float | None:
    if value is not None and type(value) not in (int, float):
        raise ValueError("the number of held-out images")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("a list of class names")
    return tuple(values)
