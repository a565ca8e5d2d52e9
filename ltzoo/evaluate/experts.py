"""The accuracy of each expert of a network that has several."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from ltzoo.data import Benchmark, Groups
from ltzoo.data.batches import Delivery, Images, make_eval_batches
from ltzoo.evaluate.accuracy import GroupAccuracy, class_shares, group_accuracy
from ltzoo.evaluate.model import EvalOptions, tf32
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
        options: how to evaluate; the logit scale has no effect on accuracies.

    Returns:
        Accuracy in per cent, overall and of each group, expert by expert; empty for a model without experts.
    """
    if not hasattr(model, "forward_experts") or not hasattr(cast(Any, model).get_classifier(), "experts"):
        return []
    experts = cast(Any, model).forward_experts

    def forward(images: Tensor) -> Tensor:
        logits = experts(images)
        if options.flip:
            logits = (logits + experts(images.flip(-1))) / 2
        return logits.transpose(1, 2)  # (B, C, E), of which a class is predicted for each expert

    batches = make_eval_batches(test, benchmark.data_set, Delivery(options.device, workers=options.workers))
    with tf32(False):
        predicted, labels = predict_classes(model.to(options.device), batches, forward=forward)
    correct = predicted == labels[:, None]
    found = []
    for own in torch.unbind(correct, dim=1):
        per_class = class_shares(own, labels, len(benchmark.class_counts))
        found.append({"overall": 100 * int(own.sum()) / len(labels), **group_accuracy(per_class, groups)})
    return found
