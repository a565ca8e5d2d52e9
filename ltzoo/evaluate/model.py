"""Evaluate a model on a benchmark's test images, in float32."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from ltzoo.data import Benchmark, DataSet, all_groups
from ltzoo.data.batches import Delivery, Images, make_eval_batches
from ltzoo.data.files.crops import CROPS, FiveCrops
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError
from ltzoo.evaluate.figures import Figures, measure
from ltzoo.evaluate.precision import tf32
from ltzoo.evaluate.predict import Predictions, predict


@dataclass(frozen=True)
class EvalOptions:
    """How a model is evaluated.

    Attributes:
        device: where to compute.
        flip: average the logits of each image and its mirror image.
        logit_scale: factor that the model's logits are multiplied by, see `Loss.logit_scale`.
        workers: processes that decode images; 0 to decode in this process.
        crops: average the logits of five crops of each image at a larger resolution, see `FiveCrops`; for images in
            files.
    """

    device: torch.device
    flip: bool = False
    logit_scale: float = 1.0
    workers: int = 0
    crops: bool = False


def predict_test(model: nn.Module, benchmark: Benchmark, test: Images, options: EvalOptions) -> Predictions:
    """Run a model over a benchmark's test images, in float32.

    Args:
        model: the model; it is moved to the device.
        benchmark: number of classes and normalisation.
        test: the test images.
        options: how to evaluate.

    Raises:
        InputError: the number of classes of the model is not that of the benchmark; or as `views_to_measure`.
    """
    classes = len(benchmark.class_counts)
    if model.num_classes != classes:
        raise InputError(
            f"the model has {model.num_classes} classes, {benchmark.name} has {classes}; use its own model"
        )
    test, data_set = views_to_measure(benchmark, test, options)
    batches = make_eval_batches(test, data_set, Delivery(options.device, workers=options.workers))
    with tf32(False):
        predictions = predict(model.to(options.device), batches, flip=options.flip)
    if options.crops:
        logits, labels = predictions.logits, predictions.labels
        predictions = Predictions(logits.view(-1, CROPS, classes).mean(dim=1), labels[::CROPS])
    predictions.logits.mul_(options.logit_scale)  # in place: a second copy could exceed the memory
    return predictions


def views_to_measure(benchmark: Benchmark, test: Images, options: EvalOptions) -> tuple[Images, DataSet]:
    """Return what a model sees of test images, and how it is prepared: the images, or five crops in a row of each.

    Args:
        benchmark: the size and normalisation of the images.
        test: the test images.
        options: whether crops are asked for.

    Raises:
        InputError: crops are asked for of images that are in memory, at the size of the model's input.
    """
    if not options.crops:
        return test, benchmark.data_set
    if isinstance(test, LabelledImages):
        raise InputError(f"the images of {benchmark.name} have the size of the model's input; use no crops")
    # A crop has its size, and is neither resized nor cropped again.
    return FiveCrops(test, benchmark.data_set), replace(benchmark.data_set, crop_pct=1.0)


def evaluate_model(
    model: nn.Module, benchmark: Benchmark, test: Images, groups: str, rule: str, options: EvalOptions
) -> Figures:
    """Evaluate a model on a benchmark's test images, in float32, under every grouping defined on the benchmark.

    Args:
        model: the model; it is moved to the device.
        benchmark: class counts, groups and normalisation.
        test: the test images, at least one of every class.
        groups: the grouping rule to put first.
        rule: which epoch was evaluated and how; stored with the figures.
        options: how to evaluate.

    Raises:
        InputError: as `predict_test` and `measure`.
    """
    predictions = predict_test(model, benchmark, test, options)
    return measure(predictions, benchmark.class_counts, all_groups(benchmark, first=groups), rule)
