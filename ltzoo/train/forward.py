"""The forward pass: what a loss asks of a model, views of each image, autocast and compilation."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ltzoo.errors import InputError
from ltzoo.losses import Loss, Outputs
from ltzoo.models.classifiers import classifier_of


def feature_size(model: nn.Module) -> int | None:
    """Return the size of the features that a timm model's classifier sees, None for other models."""
    # Some heads have a layer of their own before the classifier, whose size timm names apart.
    return getattr(model, "head_hidden_size", None) or getattr(model, "num_features", None)


def model_outputs(model: nn.Module, asks: Collection[str]) -> Callable[[Tensor], Any]:
    """Return a model's forward pass with all outputs that a loss asks for.

    Args:
        model: a timm model.
        asks: fields of `Outputs` beside the logits.

    Returns:
        A function from images to the logits, (B, C), if `asks` is empty; else to `Outputs`.

    Raises:
        InputError: timm's models do not provide such outputs.
    """
    if not asks:
        return model
    provided = _provided(model)
    if not set(asks) <= set(provided):
        raise InputError(
            f"{type(model).__name__} provides {' and '.join(['logits', *provided])}, but the loss needs "
            f"{', '.join(sorted(asks))}; use another loss"
            + (", or a network with experts such as resnet32_3experts_cifar" if "experts" in asks else "")
        )
    timm_model = cast(Any, model)

    def forward(images: Tensor) -> Outputs:
        features = timm_model.forward_head(timm_model.forward_features(images), pre_logits=True)
        return _classified(timm_model.get_classifier(), features, asks)

    return forward


def _provided(model: nn.Module) -> list[str]:
    """Name the fields of `Outputs` beside the logits that a timm model provides."""
    classifier = classifier_of(model)
    features = ["features"] if hasattr(model, "forward_head") and not isinstance(classifier, nn.ModuleList) else []
    return [*features, *(["experts"] if features and hasattr(classifier, "experts") else [])]


def _classified(classifier: Any, features: Tensor, asks: Collection[str]) -> Outputs:
    """Classify features; with the logits of each expert if the loss asks for them."""
    if "experts" not in asks:
        return Outputs(classifier(features), features=features)
    experts = classifier.experts(features)
    return Outputs(experts.mean(dim=1), features=features, experts=experts)


def head_outputs(model: nn.Module, asks: Collection[str]) -> Callable[[Tensor], Any]:
    """Return the forward pass of a model's classifier alone, from features; otherwise as `model_outputs`."""
    classifier = classifier_of(model)
    if not asks:
        return classifier
    return lambda features: _classified(classifier, features, asks)


def views_as_one_batch(forward: Callable[[Tensor], Any], loss: Loss) -> Callable[[Tensor], Any]:
    """Let a model see the views of each image as one batch, and give its outputs the views as second dimension.

    BatchNorm normalises by all views together.

    Args:
        forward: maps images (B, channels, H, W) to logits (B, C), or to `Outputs`.
        loss: says how many views there are, how many of them the model sees, and whether it asks for the images.

    Returns:
        A function from batches with V views, (B, V, channels, H, W), to logits (B, M, C) or `Outputs` of the first M
        views; with one view from (B, channels, H, W) to (B, C).
    """
    if loss.views == 1 and "images" not in loss.asks:
        return forward

    def of_views(images: Tensor) -> Any:
        outputs = forward(images) if loss.views == 1 else _unflattened(forward, images[:, : loss.model_views])
        if "images" not in loss.asks:
            return outputs
        if isinstance(outputs, Tensor):
            return Outputs(outputs, images=images)
        return replace(outputs, images=images)

    return of_views


def _unflattened(forward: Callable[[Tensor], Any], views: Tensor) -> Any:
    """Run a forward pass on views (B, M, channels, H, W), and give its outputs two dimensions for them."""
    # Where views are left out, those that the model sees are copied, in the format of the batch.
    memory_format = torch.contiguous_format if views[0].is_contiguous() else torch.channels_last
    return forward(views.flatten(0, 1).contiguous(memory_format=memory_format)).unflatten(0, views.shape[:2])


def asked_of_model(loss: Loss) -> frozenset[str]:
    """Return the outputs beside the logits that a loss needs from the model itself: all but the images."""
    return loss.asks - {"images"}


def make_forward(
    model: nn.Module,
    accelerator: Accelerator,
    compile_backend: str | None,
    loss: Loss | None = None,
    on_features: bool = False,
) -> Callable[[Tensor], Any]:
    """Wrap a model's forward pass in autocast and, if requested, `torch.compile`; its outputs are float32.

    Args:
        model: the model, on its device.
        accelerator: provides autocast in the run's precision.
        compile_backend: backend of `torch.compile`, None for eager.
        loss: what the outputs are for, see `model_outputs` and `views_as_one_batch`; None for logits of single images.
        on_features: whether it is the classifier's alone, from features in place of images.
    """
    asks = () if loss is None else asked_of_model(loss)
    compiled = head_outputs(model, asks) if on_features else model_outputs(model, asks)
    if compile_backend is not None:
        # The pass at w is differentiated once per row of the table; a donated buffer would be gone after the first.
        torch._functorch.config.donated_buffer = False
        compiled = torch.compile(compiled, backend=compile_backend)

    def forward(images: Tensor) -> Any:
        with accelerator.autocast():
            return compiled(images).float()

    return forward if loss is None else views_as_one_batch(forward, loss)
