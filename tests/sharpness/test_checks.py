"""Wrong arguments end with a line that says what to do, and leave the model unchanged."""

import math

import pytest
import torch
from torch import nn

from ltzoo.sharpness import PGD, SAM
from tests.sharpness.methods import CE, COUNTS, METHODS, step

TABLE = SAM(rho=0.5).table(COUNTS)
PAIRS = torch.tensor([[0, 1]]).expand(12, 2)


def scaled_pixels(images):
    return images.flatten(1)[:, :4] * torch.ones(4, requires_grad=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"criterion": nn.CrossEntropyLoss()}, r"one loss per image, \(12,\), not \(\): pass reduction='none'"),
        ({"criterion": lambda logits, targets: logits}, r"one loss per image, \(12,\), not \(12, 4\)$"),
        ({"table": PGD(rho=0.5).table(COUNTS)}, "'isotropic' has no pass at w; use batchnorm='all'"),
        ({"batchnorm": "some"}, "batchnorm must be one of clean, all, not 'some'"),
        ({"ascent": "global"}, "ascent must be one of averaged, local, micro_batch, not 'global'"),
        ({"micro_batches": 0}, "micro_batches must be at least 1, not 0"),
        ({"images": lambda: None}, "takes no closure: give it the batch"),
        (
            {"targets": torch.zeros(12, 4)},
            r"targets must be \(B,\) int64 classes, or MixedTargets .*, not \(12, 4\) torch.float32",
        ),
        ({"targets": torch.zeros(12, 0, dtype=torch.int64)}, r"targets must be .*, not \(12, 0\) torch.int64"),
        ({"targets": torch.zeros(12, 2, 1, dtype=torch.int64)}, r"targets must be .*, not \(12, 2, 1\) torch.int64"),
        ({"targets": PAIRS}, r"or MixedTargets for mixed images, not \(12, 2\) torch.int64"),
        ({"target_weights": torch.ones(12)}, r"the classes of MixedTargets must be \(B, M\) int64, not \(12,\)"),
        ({"targets": PAIRS[:, :0], "target_weights": PAIRS}, r"the classes of MixedTargets must be .*, not \(12, 0\)"),
        (
            {"targets": PAIRS, "target_weights": torch.ones(12)},
            r"the weights of MixedTargets must be \(12, 2\) floating-point, as the classes, not \(12,\) torch.float32",
        ),
        (
            {"targets": PAIRS, "target_weights": torch.ones(12, 1)},
            r"the weights of MixedTargets must be .*, not \(12, 1\)",
        ),
        (
            {"targets": PAIRS, "target_weights": PAIRS},
            r"the weights of MixedTargets must be .*, not \(12, 2\) torch.int64",
        ),
        ({"targets": PAIRS, "target_weights": 0.5}, r"the weights of MixedTargets must be .*, not float"),
        (
            {"targets": PAIRS, "target_weights": torch.ones(12, 2, device="meta")},
            "the weights of MixedTargets are on meta, the classes on cpu",
        ),
        (
            {"targets": PAIRS, "target_weights": torch.tensor([[1.5, -0.5]]).expand(12, 2)},
            "the weights of MixedTargets must be finite and not below 0; they run from -0.5 to 1.5",
        ),
        ({"targets": PAIRS, "target_weights": torch.full((12, 2), float("nan"))}, "they run from nan to nan"),
        ({"targets": PAIRS, "target_weights": torch.full((12, 2), float("inf"))}, "they run from inf to inf"),
        ({"targets": PAIRS + 3, "target_weights": torch.ones(12, 2)}, "the labels run from 3 to 4, the table has 4"),
        (
            {"targets": PAIRS, "target_weights": torch.ones(12, 2), "criterion": nn.CrossEntropyLoss()},
            r"one loss per image, \(12,\), not \(\): pass reduction='none'",
        ),
        (
            {"table": SAM(rho=0.5)},
            r"table must be a Table, not SAM: pass method.table\(class_counts, epoch, epochs\)",
        ),
        ({"targets": torch.zeros(5, dtype=torch.int64)}, "there are 12 images and 5 targets; give as many of both"),
        ({"targets": [0] * 12}, "targets must be .* not list"),
        ({"targets": torch.full((12,), 4)}, "the labels run from 4 to 4, the table has 4 classes: build it from"),
        ({"targets": torch.full((12,), -1)}, "the labels run from -1"),
        (
            {"targets": torch.zeros(12, dtype=torch.int64, device="meta")},
            "the table is on cpu, the targets are on meta",
        ),
        ({"table": SAM(rho=0.5).table(torch.ones(5))}, "the model has 4 classes, the table 5: build it from"),
        ({"class_weights": torch.ones(3)}, r"class_weights must be a tensor \(4,\), as the table, not \(3,\)"),
        ({"criterion": lambda logits, targets: 1.0}, "criterion must return one loss per image, a tensor, not float"),
        ({"class_weights": [1.0] * 4}, r"class_weights must be a tensor \(4,\), as the table, not list"),
        (
            {"class_weights": torch.ones(4, device="meta")},
            r"class_weights are on meta, the table is on cpu: use class_weights.to\('cpu'\)",
        ),
        (
            {"class_weights": torch.tensor([1, -1, 1, 1])},
            "class_weights must be finite and not below 0; they run from -1.0 to 1.0",
        ),
        ({"class_weights": torch.tensor([1, math.nan, 1, 1])}, "class_weights must be finite and not below 0"),
        ({"class_weights": torch.tensor([1, math.inf, 1, 1])}, "class_weights must be finite and not below 0"),
        ({"forward": lambda images: torch.zeros(len(images), 4)}, "do not depend on a trainable parameter"),
        (
            {"forward": lambda images: scaled_pixels(images).half()},
            "in float16 small gradients become 0: pass the loss scaler",
        ),
        (
            {"forward": lambda images: scaled_pixels(images).half().float()},
            "in float16 small gradients",
        ),  # as Accelerate does
        ({"model": nn.Linear(16, 4).half()}, "parameters in float16 are too coarse to be perturbed"),
        ({"model": nn.Linear(16, 4).bfloat16()}, "parameters in bfloat16 are too coarse to be perturbed"),
        (
            {
                "model": nn.Sequential(nn.Flatten(), nn.Linear(16, 4).double()),
                "table": METHODS["by class"].table(COUNTS),
            },
            "the table moves the classifier alone, and the model has none that is trainable",
        ),
    ],
)
def test_misuse_is_named(network, batches, changes, message):
    """And weights and gradients are as before."""
    model, (images, targets) = network(), batches[0]
    before = {key: value.clone() for key, value in model.named_parameters()}
    arguments = {"model": model, "criterion": CE, "images": images, "targets": targets, "table": TABLE} | changes
    with pytest.raises(ValueError, match=message):
        step(**arguments)
    assert all(torch.equal(before[key], value) for key, value in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_without_gradients_is_refused(network, batches):
    with torch.no_grad(), pytest.raises(ValueError, match="gradients are disabled: call the step outside"):
        step(network(), CE, *batches[0], TABLE)
    with pytest.raises(ValueError, match="no trainable parameter"):
        step(network().requires_grad_(False), CE, *batches[0], TABLE)
