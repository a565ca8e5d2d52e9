"""The cache of features: training a head on features that are computed once, without augmentation."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.data import Augmentation, DataSet
from ltzoo.data.batches import Delivery, Images, make_eval_batches
from ltzoo.data.files import ImageFiles, ResizedImages
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from ltzoo.evaluate import (
    FeatureKey,
    FeatureOrigin,
    StoredFeatures,
    features_of,
    gather,
    hash_tensors,
    predict,
    read_features,
    write_features,
)
from ltzoo.models.classifiers import classifier_of
from ltzoo.recipes import Recipe, Trainable
from ltzoo.train.processes import on_main_process

PLAIN = Augmentation(crop_padding=0, horizontal_flip=False)
"""No augmentation."""

_CHECKED = 16
"""Images whose features are computed again, to find files that changed and kept size and modification time."""


def check_cacheable(recipe: Recipe) -> None:
    """Check that the features of a recipe's images stay the same throughout its training.

    Raises:
        InputError: something below the head is trained, or the images are augmented.
    """
    if recipe.trainable != Trainable("head", "frozen"):
        raise InputError(
            "--cache-features needs features that stay the same, but the recipe trains the weights or BatchNorm's "
            "statistics below the head; add --head-only"
        )
    if not recipe.head.computed and (recipe.loss.views > 1 or "images" in recipe.loss.asks):
        raise InputError(
            f"--cache-features takes the features of one view, and the loss {recipe.loss.name} needs views of the "
            "images; leave it out"
        )
    if not recipe.head.computed and recipe.augmentation != PLAIN:
        raise InputError(
            "--cache-features takes features of un-augmented images, so that augmentation has no effect; leave out "
            "--cache-features, or all of --aa, --color-jitter, --mixup, --cutmix and --set views"
        )


@dataclass(frozen=True)
class FeatureSource:
    """Computes features of a run's images, or reads them from its cache.

    Attributes:
        model: with the weights of the start.
        weights: see `FeatureKey.weights`.
        data_set: size, normalisation and classes of the images.
        held_out: see `FeatureOrigin.held_out`.
        delivery: the device, and this process's share.
        accelerator: all processes.
        folder: the cache; None to compute the features and not to keep them.
        say: called with what is worth telling.
    """

    model: nn.Module
    weights: str
    data_set: DataSet
    held_out: int | float | None
    delivery: Delivery
    accelerator: Accelerator
    folder: Path | None
    say: Callable[[str], None]

    def get(self, images: Images, split: str) -> StoredFeatures:
        """Return the features of all images of a split, on every process.

        Args:
            images: the images.
            split: `train`, or `measured` for test or held-out images.

        Raises:
            InputError: cached features are damaged, or are not those of the images any more.
        """
        if self.folder is None:
            return self._compute(images, split, FeatureKey(self.weights, "", ""))
        # Copies of the images on several machines may have other modification times.
        key = on_main_process(self.accelerator, lambda: feature_key(self.weights, images, self.data_set))
        path = self.folder / f"{split}-{key.short}.safetensors"
        if on_main_process(self.accelerator, path.is_file):
            stored = read_features(path)
            self._check(stored, path, key, images)
            self.say(f"features of {len(stored.labels)} images are taken from {path}")
            return stored
        computed = self._compute(images, split, key)
        on_main_process(self.accelerator, lambda: self._write(path, computed))
        self.say(f"features of {len(computed.labels)} images took {computed.seconds:.1f} s; they are kept in {path}")
        return computed

    def _write(self, path: Path, computed: StoredFeatures) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_features(path, computed)

    def _compute(self, images: Images, split: str, key: FeatureKey) -> StoredFeatures:
        self._check_classifier(images)
        began = time.perf_counter()
        batches = make_eval_batches(images, self.data_set, self.delivery)
        features, labels = map(gather, features_of(self.model, batches))
        seconds = time.perf_counter() - began
        files = images.files if isinstance(images, ResizedImages) else images
        layout = files.layout if isinstance(files, ImageFiles) else None
        held_out = self.held_out if split == "measured" else None
        origin = FeatureOrigin(self.data_set.class_names, held_out, layout)
        return StoredFeatures(key, split, features, labels, seconds, origin)

    def _check(self, stored: StoredFeatures, path: Path, key: FeatureKey, images: Images) -> None:
        """Check the key, and the features of a few images: files can change and keep size and modification time."""
        other = [name for name in ("weights", "images", "transform") if getattr(stored.key, name) != getattr(key, name)]
        if other:
            raise InputError(
                f"the cached features in {path} are of other {' and '.join(other)} than this run's; remove the file"
            )
        chosen = torch.linspace(0, len(stored.labels) - 1, min(_CHECKED, len(stored.labels))).round().long()
        now, labels = features_of(self.model, self._alone(images, chosen))
        same = torch.equal(stored.labels[chosen], labels) and _close(stored.features[chosen], now)
        if not same:
            raise InputError(f"the images have changed since the features in {path} were computed; remove the file")

    def _check_classifier(self, images: Images) -> None:
        """Check that the classifier maps the features to the model's logits: some of timm's do more than that."""
        few = torch.arange(min(2, len(images.labels)))
        features, _ = features_of(self.model, self._alone(images, few))
        logits = predict(self.model, self._alone(images, few)).logits
        with torch.no_grad():
            own = classifier_of(self.model)(features.to(self.delivery.device)).cpu()
        if not _close(own, logits):
            raise InputError(
                f"{type(self.model).__name__} computes more from its features than its classifier does; leave "
                "--cache-features out"
            )

    def _alone(self, images: Images, chosen: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """Return batches of a few images, on every process alone."""
        return make_eval_batches(_chosen(images, chosen), self.data_set, Delivery(self.delivery.device))


def _close(found: Tensor, expected: Tensor) -> bool:
    """Return whether two tensors are equal up to the rounding of another device or memory format."""
    largest = float(expected.abs().max())
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=1e-3 * largest)


def _chosen(images: Images, indices: Tensor) -> Images:
    if isinstance(images, LabelledImages):
        return LabelledImages(images.images[indices], images.labels[indices])
    if isinstance(images, ResizedImages):
        return ResizedImages(images.files.chosen(indices.numpy()), images.shorter_side, images.cache)
    return cast(ImageFiles, images).chosen(indices.numpy())


def feature_key(weights: str, images: Images, data_set: DataSet) -> FeatureKey:
    """Return what the features of images depend on.

    Args:
        weights: see `FeatureKey.weights`.
        images: the images.
        data_set: their size and normalisation.

    Raises:
        InputError: a file is missing.
    """
    return FeatureKey(weights, images_key(images), _transform(data_set, images))


def images_key(images: Images) -> str:
    """Return SHA-256 over images in memory and their classes; for files over what changes when one is written.

    Raises:
        InputError: a file is missing.
    """
    if isinstance(images, LabelledImages):
        return hash_tensors({"images": images.images, "labels": images.labels})
    return cast(ImageFiles, images.files if isinstance(images, ResizedImages) else images).stamped_layout()


def _transform(data_set: DataSet, images: Images) -> str:
    """Describe how an image reaches the model."""
    fields = ("image_size", "channels", "mean", "std", "crop_pct", "interpolation")
    described = {name: getattr(data_set, name) for name in fields}
    described["shorter_side"] = getattr(images, "shorter_side", None)
    return json.dumps(described)
