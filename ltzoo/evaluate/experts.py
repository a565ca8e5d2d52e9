"""The accuracy of each expert of a network that has several."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ltzoo.data import Benchmark, Groups
from ltzoo.data.batches import Delivery, Images, make_eval_batches
from ltzoo.data.files.crops import CROPS
from ltzoo.evaluate.accuracy import GroupAccuracy, class_shares, group_accuracy
from ltzoo.evaluate.model import EvalOptions, views_to_measure
from ltzoo.evaluate.precision import tf32
from ltzoo.evaluate.predict import predict_classes


def measure_experts(
    model: nn.Module, benchmark: Benchmark, test: Images, groups: Groups, options: EvalOptions
) -> list[GroupAccuracy]:
    """Measure each expert by itself on a benchmark's test images, in float32 and in one pass.

    Args:
        model: the model; it is moved to the device.
        benchmark: class counts and normalisation.
        test: the test images, at least one of every class.
        groups: the groups of classes.
        options: how to evaluate, with the mirror images or crops whose logits are averaged; the logit scale has no
            effect on accuracies.

    Returns:
        Accuracy in per cent, overall and of each group, expert by expert; empty for a model without experts.

    Raises:
        InputError: as `views_to_measure`.
    """
    if not hasattr(model, "forward_experts") or not hasattr(cast(Any, model).get_classifier(), "experts"):
        return []
    experts = cast(Any, model).forward_experts

    def forward(images: Tensor) -> Tensor:
        logits = experts(images)
        if options.flip:
            logits = (logits + experts(images.flip(-1))) / 2
        if options.crops:
            logits = logits.unflatten(0, (-1, CROPS)).mean(dim=1)
        return logits.transpose(1, 2)  # (B, C, E), of which a class is predicted for each expert

    views, data_set = views_to_measure(benchmark, test, options)
    batches: Iterable[tuple[Tensor, Tensor]]
    batches = make_eval_batches(views, data_set, Delivery(options.device, workers=options.workers))
    if options.crops:
        batches = _of_whole_images(batches)
    with tf32(False):
        predicted, labels = predict_classes(model.to(options.device), batches, forward=forward)
    correct = predicted == labels[:, None]
    found = []
    for own in torch.unbind(correct, dim=1):
        per_class = class_shares(own, labels, len(benchmark.class_counts))
        found.append({"overall": 100 * int(own.sum()) / len(labels), **group_accuracy(per_class, groups)})
    return found


def _of_whole_images(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Divide batches of crops, (B, ...), so that each has all crops of its images, with one label for each image."""
    left: list[tuple[Tensor, Tensor]] = []  # the first crops of an image, whose others are in the next batch
    for batch in batches:
        crops, labels = (torch.cat(each) for each in zip(*left, batch, strict=True))
        whole = len(labels) // CROPS * CROPS
        if whole:
            yield crops[:whole], labels[:whole:CROPS]
        left = [(crops[whole:], labels[whole:])]
