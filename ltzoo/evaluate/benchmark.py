"""Measure a model on a benchmark, in float32."""

import torch
from torch import nn

from ltzoo.data import Benchmark, all_groups
from ltzoo.data.batches import Delivery, Images, make_eval_batches
from ltzoo.errors import InputError
from ltzoo.evaluate.figures import Figures, measure
from ltzoo.evaluate.precision import tf32
from ltzoo.evaluate.predict import Predictions, predict


def predict_test(
    model: nn.Module,
    benchmark: Benchmark,
    test: Images,
    *,
    device: torch.device,
    flip: bool = False,
    logit_scale: float = 1.0,
    workers: int = 0,
) -> Predictions:
    """Run a model over a benchmark's test images, in float32.

    Args:
        model: the model; it is moved to the device.
        benchmark: number of classes and normalisation.
        test: the test images.
        device: where to compute.
        flip: average the logits of image and mirror image.
        logit_scale: what the model's logits are multiplied by, `Loss.logit_scale`.
        workers: processes that decode images; 0 to decode here.

    Raises:
        InputError: the model has another number of classes than the benchmark.
    """
    classes = len(benchmark.class_counts)
    if model.num_classes != classes:
        raise InputError(
            f"the model has {model.num_classes} classes, {benchmark.name} has {classes}; use its own model"
        )
    batches = make_eval_batches(test, benchmark.data_set, Delivery(device, workers=workers))
    with tf32(False):
        predictions = predict(model.to(device), batches, flip=flip)
    predictions.logits.mul_(logit_scale)  # in place: those of thousands of classes fill memory
    return predictions


def evaluate_model(
    model: nn.Module,
    benchmark: Benchmark,
    test: Images,
    groups: str,
    rule: str,
    *,
    device: torch.device,
    flip: bool = False,
    logit_scale: float = 1.0,
    workers: int = 0,
) -> Figures:
    """Measure a model on a benchmark's test images, in float32 and by every grouping that is defined on it.

    Args:
        model: the model; it is moved to the device.
        benchmark: class counts, groups and normalisation.
        test: the test images, some of every class.
        groups: the grouping rule to put first.
        rule: which epoch, how measured; kept with the figures.
        device: where to compute.
        flip: average the logits of image and mirror image.
        logit_scale: what the model's logits are multiplied by, `Loss.logit_scale`.
        workers: processes that decode images; 0 to decode here.

    Raises:
        InputError: as `predict_test` and `measure`.
    """
    predictions = predict_test(
        model, benchmark, test, device=device, flip=flip, logit_scale=logit_scale, workers=workers
    )
    return measure(predictions, benchmark.class_counts, all_groups(benchmark, first=groups), rule)
