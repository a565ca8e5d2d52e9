"""Reduced precision: autocast inside and around the step, the loss scaler, overflow in either pass."""

import itertools
from functools import partial

import pytest
import torch

from ltzoo.models import CosineClassifier
from ltzoo.sharpness import SAM
from tests.sharpness.methods import CE, COUNTS, METHODS, NOISE, step

NAMES = ["sgd", "sam", "imbsam", "ssesam stage 1"]
STAGE_1, PGD = METHODS["ssesam stage 1"], NOISE["pgd"]


def gradient(model, batch, method, **options):
    step(model, CE, *batch, method.table(COUNTS), **options)
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.fixture
def batch(batches):
    images, targets = batches[0]
    return images.float(), targets


def test_float16_below_a_classifier_in_float32_is_refused_without_a_scaler(network, batch):
    """A cosine classifier leaves autocast, so that its logits are float32."""
    model = network().float()
    model[-1] = CosineClassifier(model[-1].in_features, model[-1].out_features)

    def forward(images):
        with torch.autocast("cpu", torch.float16):
            return model(images)

    with pytest.raises(ValueError, match="in float16 small gradients become 0"):
        gradient(model, batch, METHODS["sam"], forward=forward)
    gradient(model, batch, METHODS["sam"], forward=forward, scaler=torch.amp.GradScaler("cpu", init_scale=8.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_autocast_around_the_step_is_autocast_in_its_passes(network, batch, name, dtype):
    """Autocast keeps casts of the weights: a perturbed pass that took them again would be a pass at w."""
    # One scale for both types; float16 is refused without.
    scaler = partial(torch.amp.GradScaler, "cpu", init_scale=8.0)
    model = network().float()

    def forward(images):
        with torch.autocast("cpu", dtype):
            return model(images)

    inside = gradient(model, batch, METHODS[name], forward=forward, scaler=scaler())
    around = network().float()
    with torch.autocast("cpu", dtype):
        outside = gradient(around, batch, METHODS[name], scaler=scaler())
        after = around(batch[0])
    for a, b in zip(inside, outside, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)
    with torch.autocast("cpu", dtype):
        torch.testing.assert_close(after, model(batch[0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_reduced_precision_is_near_float32(network, batch, name, dtype):
    exact = torch.cat([g.flatten() for g in gradient(network().float(), batch, METHODS[name])])
    with torch.autocast("cpu", dtype):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        found = torch.cat([g.flatten() for g in gradient(network().float(), batch, METHODS[name], scaler=scaler)])
    assert torch.cosine_similarity(exact, found / 1024, dim=0) > 0.99


@pytest.mark.parametrize(
    ("method", "batchnorm", "passes", "bad_pass"),
    [
        *((STAGE_1, batchnorm, 3, bad_pass) for batchnorm in ("clean", "all") for bad_pass in range(3)),
        (PGD, "all", 1, 0),
    ],
)
def test_an_overflow_in_any_pass_costs_the_step_and_nothing_else(network, batch, method, batchnorm, passes, bad_pass):
    """Weights, momentum and running statistics are as before, and the scale is halved once."""
    model, scaler = network().float(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    counted = itertools.count()

    def forward(images):
        return model(images) * (float("inf") if next(counted) == passes + bad_pass else 1)

    def train_step():
        options = {"forward": forward, "scaler": scaler, "batchnorm": batchnorm}
        step(model, CE, *batch, method.table(COUNTS), **options)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    def state():
        momentum = [optimizer.state[parameter]["momentum_buffer"] for parameter in model.parameters()]
        return [value.clone() for value in (*model.state_dict().values(), *momentum)]

    train_step()  # a sound one, so that there are statistics and momentum to lose
    before = state()
    train_step()
    assert all(torch.equal(a, b) for a, b in zip(before, state(), strict=True))
    assert scaler.get_scale() == 512.0
    train_step()
    assert not torch.equal(before[0], model[0].weight)
    assert int(model[1].num_batches_tracked) == (2 if batchnorm == "clean" else 2 * passes)


@pytest.mark.parametrize("bad_pass", [0, 1])
def test_without_a_scaler_an_infinite_pass_leaves_an_infinite_gradient_and_sound_weights(network, batches, bad_pass):
    model, passes = network(), itertools.count()
    before = [p.detach().clone() for p in model.parameters()]
    step(
        model,
        CE,
        *batches[0],
        SAM(rho=0.5).table(COUNTS),
        forward=lambda x: model(x) * (float("inf") if next(passes) == bad_pass else 1),
    )
    assert not all(bool(p.grad.isfinite().all()) for p in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_logits_in_half_precision_reach_the_loss_as_float32(network, batch):
    seen = []

    def criterion(logits, targets):
        seen.append(logits.dtype)
        return CE(logits, targets)

    with torch.autocast("cpu", torch.bfloat16):
        step(network().float(), criterion, *batch, SAM(rho=0.5).table(COUNTS))
    assert seen == [torch.float32] * 2
