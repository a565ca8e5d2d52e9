"""One step: clipping, moving average, micro-batches, and statistics of frozen layers."""

from dataclasses import replace
from functools import partial

import pytest
import timm
import torch
from accelerate import Accelerator
from timm.layers import EvoNorm2dB0
from torch import nn

from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe
from ltzoo.sharpness import LPFSGD, PGD, NoPerturbation
from ltzoo.train.head import put_head
from ltzoo.train.step import Step
from tests.train.steps import COUNTS, SGD, batches, make, weights


def test_the_gradient_of_a_step_is_clipped():
    """Plain SGD then moves the weights by lr times the largest norm."""
    plain = {"optimizer.momentum": 0.0, "optimizer.nesterov": False, "optimizer.weight_decay": 0.0}
    step = make(override(SGD, plain | {"optimizer.clip_grad": 0.25}))
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    step(*batches(1)[0])
    moved = torch.cat([(a - b).flatten() for a, b in zip(step.model.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.25 * step.lr, rel=1e-3)


def test_the_moving_average_is_timms():
    step = make(override(SGD, {"ema_decay": 0.9}))
    average = timm.utils.ModelEmaV3(step.model, decay=0.9)
    for batch in batches(3):
        step(*batch)
        average.update(step.model)
    assert step.evaluated is not step.model
    assert not torch.equal(step.evaluated.conv1.weight, step.model.conv1.weight)
    for key, value in average.module.state_dict().items():
        assert torch.equal(step.evaluated.state_dict()[key], value), key


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_fused_optimizer_steps_as_the_plain_one(memory_format):
    """It walks through gradients as they lie in memory: they must lie as their parameters do."""
    recipe = get_recipe("resnet20_digitslt_ce_ssesam")
    images = torch.randn(8, 16, 16, 1, generator=torch.Generator().manual_seed(1)).permute(0, 3, 1, 2)
    batch = images.contiguous(memory_format=memory_format), torch.arange(8)
    fused = make(recipe)
    fused.model.to(memory_format=memory_format)
    plain = make(recipe)
    plain.model.to(memory_format=memory_format)
    hyper = {key: fused.optimizer.defaults[key] for key in ("lr", "momentum", "weight_decay", "nesterov")}
    plain.optimizer = torch.optim.SGD(plain.model.parameters(), **hyper)
    plain.begin(0)
    for _ in range(3):
        fused(*batch)
        plain(*batch)
    for a, b in zip(fused.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_an_overflow_in_the_very_first_step_changes_nothing(monkeypatch):
    step = make(get_recipe("resnet20_digitslt_ce_sam"))
    step.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    sound = step.forward
    before = weights(step)
    step.forward = lambda images: sound(images) * float("inf")
    step(*batches(1)[0])
    assert torch.equal(weights(step), before)
    assert all(not state["momentum_buffer"].any() for state in step.optimizer.state.values())
    assert step.scaler.get_scale() == 512.0
    step.forward = sound
    step(*batches(1)[0])
    assert weights(step).isfinite().all()
    assert not torch.equal(weights(step), before)


def test_the_moving_average_stands_still_where_the_scaler_skips_the_step():
    step = make(override(SGD, {"ema_decay": 0.5}))
    step.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    sound = step.forward
    step(*batches(2)[1])  # the average is not the model's weights any more
    before = weights(step)
    step.forward = lambda images: sound(images) * float("inf")
    step(*batches(2)[1])
    assert torch.equal(weights(step), before)
    step.forward = sound
    step(*batches(2)[1])
    assert not torch.equal(weights(step), before)


def test_what_a_step_cannot_do_with_a_batch_is_bad_input():
    images, targets = batches(2)[1]
    with pytest.raises(InputError, match="the labels run from 10 to 10, the table has 10 classes"):
        make(SGD)(images, torch.full_like(targets, 10))


@pytest.mark.parametrize(
    ("settings", "averaged"),
    [
        ({}, 1),
        ({"ema_decay": 0.9}, 2),
        ({"trainable.batchnorm": "frozen"}, 0),
        ({"trainable.weights": "head", "trainable.batchnorm": "frozen", "ema_decay": 0.9}, 0),
    ],
)
def test_frozen_statistics_are_not_averaged_over_processes(settings, averaged, monkeypatch):
    """For three processes that would change every sixth of them: (x + x + x) / 3 is not x."""
    step, models = make(override(SGD, settings)), []
    monkeypatch.setattr("ltzoo.train.step.distribute_bn", lambda model, processes, reduce: models.append(model))
    step.end()
    assert models == []  # there is one process
    step.group = object()
    step.end()
    assert len(models) == averaged


def test_perturbed_passes_leave_the_statistics_of_a_head_alone_also_under_frozen_batchnorm():
    frozen = {"head": {"name": "scaled_cosine", "scale": 16.0}, "trainable.batchnorm": "frozen"}
    recipe = override(get_recipe("resnet20_digitslt_ce_sam"), frozen)
    lengths = []
    for perturbation in (recipe.perturbation, NoPerturbation()):
        torch.manual_seed(0)
        model = build_model(recipe)
        put_head(model, recipe.head)
        step = Step(replace(recipe, perturbation=perturbation), COUNTS, model, Accelerator(cpu=True), 0, None)
        step(*batches(1)[0])
        lengths.append(model.fc.feature_length)
    assert lengths[0] != 1 and torch.equal(*lengths)


@pytest.mark.parametrize("noise", [PGD(rho=0.1), LPFSGD(std=0.01, parts=2)], ids=["pgd", "lpfsgd"])
def test_noise_is_taken_with_frozen_batchnorm(noise):
    recipe = replace(override(SGD, {"trainable.batchnorm": "frozen"}), perturbation=noise)
    make(recipe)(*batches(1)[0])


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d, partial(nn.InstanceNorm2d, affine=True, track_running_stats=True), EvoNorm2dB0],
    ids=["BatchNorm", "InstanceNorm", "EvoNorm"],
)
@pytest.mark.parametrize("batchnorm", ["clean", "frozen"])
def test_frozen_statistics_are_those_of_every_layer_that_keeps_some(norm, batchnorm):
    recipe = override(SGD, {"trainable.batchnorm": batchnorm})
    model = build_model(recipe)
    model.bn1 = norm(model.bn1.num_features)
    step = Step(recipe, COUNTS, model, Accelerator(cpu=True), 0, None)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    step(torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3]))
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert {"bn1.weight", "bn1.bias"} <= moved
    assert ("bn1.running_var" in moved) == (batchnorm == "clean")
