"""State that a forward pass writes, of whatever layer: only the pass at w counts, and a failed step leaves it alone."""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, EvoNorm2dB0
from torch import nn
from torch.nn.functional import batch_norm, normalize
from torch.utils.checkpoint import checkpoint

from ltzoo.sharpness.running_statistics import RunningStatistics
from tests.sharpness.methods import CE, COUNTS, METHODS, step

RUNS = {"sgd": 1, "sam": 2, "imbsam": 2, "ssesam stage 1": 3, "focalsam": 2}


class GhostNorm(nn.BatchNorm2d):
    """A BatchNorm with a forward pass of its own, which does not look at `track_running_stats`."""

    def forward(self, x):
        halves = [super(nn.BatchNorm2d, self).forward(half) for half in x.chunk(2)]
        return torch.cat([batch_norm(half, self.running_mean, self.running_var, training=True) for half in halves])


class WrittenInPlaceOfAnother(nn.Module):
    """Its statistics are a new tensor after each pass, beside a constant that the pass multiplies by."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("scale", torch.full((1, 4, 1, 1), 2.0))
        self.register_buffer("same", torch.ones(1).expand(4))
        self.register_buffer("nothing", None)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 2, 3))
        return x * self.scale - self.mean[:, None, None] * self.same[:, None, None]


class Functional(nn.Module):
    """It counts nothing: torch writes its statistics without raising their versions."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("spread", torch.ones(4))

    def forward(self, x):
        return batch_norm(x, self.seen, self.spread, training=self.training)


LAYERS = {
    "BatchNorm": lambda: nn.BatchNorm2d(4),
    "cumulative BatchNorm": lambda: nn.BatchNorm2d(4, momentum=None),
    "timm's BatchNormAct": lambda: BatchNormAct2d(4),
    "GhostNorm": lambda: GhostNorm(4),
    "InstanceNorm": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "EvoNorm": lambda: EvoNorm2dB0(4),
    "spectral_norm": lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 1)),
    "parametrized spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)),
    "a new tensor": WrittenInPlaceOfAnother,
    "functional": Functional,
}


def network(layer):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), LAYERS[layer](), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)]
    return nn.Sequential(*layers).double().train()


def state(model):
    return {key: value.clone() for key, value in model.named_buffers()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("layer", LAYERS)
def test_the_buffers_are_those_of_a_single_pass_at_w(layer, name, batches):
    model, once = network(layer), network(layer)
    for batch in batches[:2]:
        before, passes = state(model), []
        hook = model[0].register_forward_hook(lambda *_, passes=passes: passes.append(1))
        step(model, CE, *batch, METHODS[name].table(COUNTS))
        hook.remove()
        assert len(passes) == RUNS[name]
        once.load_state_dict(model.state_dict() | before)
        once(batch[0])
        assert_equal(state(model), state(once))
        assert any(not torch.equal(value, before[key]) for key, value in state(model).items())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad


@pytest.mark.parametrize("layer", LAYERS)
def test_every_pass_counts_where_that_is_asked_for(layer, batches):
    model, once = network(layer), network(layer)
    once(batches[0][0])
    step(model, CE, *batches[0], METHODS["sam"].table(COUNTS), batchnorm="all")
    assert any(not torch.equal(value, state(model)[key]) for key, value in state(once).items())


@pytest.mark.parametrize("batchnorm", ["clean", "all"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_step_that_overflows_leaves_them_as_they_were(layer, batchnorm, batches):
    """A scaler skips the optimizer's step, and infinite statistics would stay infinite."""
    model, (images, targets) = network(layer).float(), batches[0]
    model(images.float())
    before, weights = state(model), copy.deepcopy(list(model.parameters()))
    scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    overflowing = images.float()
    overflowing[0] = float("inf")
    options = {"scaler": scaler, "batchnorm": batchnorm}
    step(model, CE, overflowing, targets, METHODS["sam"].table(COUNTS), **options)
    scaler.step(optimizer)
    assert_equal(state(model), before)
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["sam", "ssesam stage 1"])
@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer != "functional"])
def test_layers_that_run_again_in_the_backward_pass_count_once(layer, name, batches):
    """Except for those whose writing leaves no trace: torch's function, where nothing counts its batches."""
    model, once = network(layer), network(layer)
    once(batches[0][0])

    def forward(images):
        return model[3:](checkpoint(model[:3], images, use_reentrant=False))

    step(model, CE, *batches[0], METHODS[name].table(COUNTS), forward=forward)
    assert_equal(state(model), state(once))


@pytest.mark.parametrize("layer", LAYERS)
def test_frozen_statistics_stay_also_if_a_pass_fails(layer, batches):
    model, images = network(layer), batches[0][0]
    before, tensors = state(model), dict(model.named_buffers())
    with pytest.raises(RuntimeError, match="shapes"), RunningStatistics(model).frozen():
        model(images)
        model(torch.randn(2, 1, 9, 9, dtype=torch.float64))
    assert_equal(state(model), before)
    assert all(value is tensors[key] for key, value in model.named_buffers())
    model(images)
    assert any(not torch.equal(value, before[key]) for key, value in state(model).items())


def test_the_vectors_of_a_spectral_norm_are_normal():
    """A check of the oracle: one pass moves both by one step of the power iteration at w."""
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2, bias=False)).double().train()
    u, weight = layer.parametrizations.weight[0]._u.clone(), layer.parametrizations.weight.original
    v = normalize(weight.T @ u, dim=0)
    layer(torch.ones(1, 3, dtype=torch.float64))
    torch.testing.assert_close(layer.parametrizations.weight[0]._v, v.detach())
    torch.testing.assert_close(layer.parametrizations.weight[0]._u, normalize(weight @ v, dim=0).detach())
