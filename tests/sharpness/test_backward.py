"""Proofs 5 and 6: what a single step leaves as it was, and what does not matter to it."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ltzoo.sharpness import SAM, NoPerturbation
from tests.sharpness.methods import CE, COUNTS, METHODS, step

STAGE_1 = METHODS["ssesam stage 1"]


def gradient(model, images, targets, table, **options):
    model.zero_grad()
    loss = step(model, CE, images, targets, table, **options)
    return loss, [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", METHODS)
def test_weights_come_back_bit_for_bit_and_stay_where_they_are(network, batches, name):
    model = network()
    before = [(p.detach().clone(), p.data_ptr()) for p in model.parameters()]
    gradient(model, *batches[0], METHODS[name].table(COUNTS))
    for (value, pointer), parameter in zip(before, model.parameters(), strict=True):
        assert torch.equal(value, parameter)
        assert pointer == parameter.data_ptr()


def test_weights_come_back_when_the_perturbed_pass_fails(network, batches):
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    passes = itertools.count()

    def fails_the_second_time(images):
        if next(passes) == 1:
            raise RuntimeError("out of memory")
        return model(images)

    with pytest.raises(RuntimeError, match="out of memory"):
        step(model, CE, *batches[0], SAM(rho=0.5).table(COUNTS), forward=fails_the_second_time)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model[1].track_running_stats


@pytest.mark.parametrize("name", METHODS)
def test_order_and_scale_do_not_matter(network, batches, name):
    images, targets = batches[0]
    table = METHODS[name].table(COUNTS)
    _, expected = gradient(network(), images, targets, table)

    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(2))
    _, permuted = gradient(network(), images[order], targets[order], table)

    model = network()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    _, scaled = gradient(model, images, targets, table, scaler=scaler)

    for a, b, c in zip(expected, permuted, scaled, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12)
        torch.testing.assert_close(c / 1024, a, rtol=0, atol=1e-12)


def test_the_order_of_parameter_groups_does_not_matter(network, batches):
    def weights(order):
        model = network()
        groups = [{"params": [parameter]} for parameter in model.parameters()][::order]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=5e-3)
        for images, targets in batches[:5]:
            step(model, CE, images, targets, STAGE_1.table(COUNTS))
            optimizer.step()
            optimizer.zero_grad()
        return model.parameters()

    assert all(torch.equal(a, b) for a, b in zip(weights(1), weights(-1), strict=True))


@pytest.mark.parametrize("only", ["head", "tail"])
def test_a_group_without_images_contributes_nothing(network, batches, only):
    images, _ = batches[0]
    targets = torch.arange(12) % 2 + (2 if only == "tail" else 0)
    _, found = gradient(network(), images, targets, STAGE_1.table(COUNTS))
    _, expected = gradient(network(), images, targets, SAM(rho=0.6 if only == "tail" else 0.3).table(COUNTS))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-14)


def test_a_zero_gradient_moves_nothing(batches):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).double()
    images, targets = batches[0]
    for dtype in (torch.float64, torch.float32):  # in float32 a radius over the smallest number would overflow
        model = model.to(dtype)
        for rho in (0.5, 5.0):
            table = SAM(rho=rho).table(COUNTS)
            loss, found = gradient(model, images.to(dtype), targets, table, forward=lambda x, m=model: 0 * m(x))
            assert loss == pytest.approx(torch.log(torch.tensor(4.0)).item())
            assert all(torch.equal(g, torch.zeros_like(g)) for g in found)


def test_frozen_and_unused_parameters_are_left_alone(network, batches):
    model = network()
    model[0].weight.requires_grad_(False)
    model.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
    before = [p.detach().clone() for p in model.parameters()]
    step(model, CE, *batches[0], STAGE_1.table(COUNTS), forward=lambda x: model[:5](x))
    assert model[0].weight.grad is None
    assert model.unused.grad is None
    assert model[4].weight.grad is not None
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_gradients_accumulate_as_backward_does(network, batches):
    model = network()
    _, first = gradient(model, *batches[0], NoPerturbation().table(COUNTS))
    model = network()
    model(batches[0][0])  # the running statistics do not enter the gradient in train mode
    step(model, CE, *batches[0], NoPerturbation().table(COUNTS))
    step(model, CE, *batches[0], NoPerturbation().table(COUNTS))
    for once, parameter in zip(first, model.parameters(), strict=True):
        assert torch.equal(parameter.grad, 2 * once)


def test_gradients_are_added_in_place_as_backward_adds_them(network, batches):
    """So that gradients which are views of one flat buffer stay that."""
    _, expected = gradient(network(), *batches[0], STAGE_1.table(COUNTS))
    model = network()
    flat = torch.zeros(sum(parameter.numel() for parameter in model.parameters()), dtype=torch.float64)
    parts = flat.split([parameter.numel() for parameter in model.parameters()])
    for parameter, part in zip(model.parameters(), parts, strict=True):
        parameter.grad = part.view_as(parameter)
    step(model, CE, *batches[0], STAGE_1.table(COUNTS))
    assert torch.equal(flat, torch.cat([value.flatten() for value in expected]))


def test_the_loss_returned_is_the_weighted_mean_at_w(network, batches):
    images, targets = batches[0]
    weights = torch.tensor([0.4, 0.6, 1.2, 1.8], dtype=torch.float64)
    expected = F.cross_entropy(network()(images), targets, weight=weights)
    loss, _ = gradient(network(), images, targets, STAGE_1.table(COUNTS), class_weights=weights)
    torch.testing.assert_close(loss, expected.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_lie_in_memory_as_their_parameters_do(network, batches, memory_format):
    model = network().to(memory_format=memory_format)
    other = torch.channels_last if memory_format is torch.contiguous_format else torch.contiguous_format
    images = batches[0][0].expand(-1, 3, -1, -1).contiguous(memory_format=other)
    model[0] = nn.Conv2d(3, 4, 3, padding=1).double().to(memory_format=memory_format)
    step(model, CE, images, batches[0][1], STAGE_1.table(COUNTS))
    for parameter in model.parameters():
        assert parameter.grad.stride() == parameter.stride()


def test_gradients_that_autograd_shares_are_apart(batches):
    """Both weights get the same tensor from autograd; each must climb and be clipped by itself."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.Parameter(torch.zeros(16, 4, dtype=torch.float64)) for _ in range(2))

        def forward(self, images):
            return images.flatten(1) @ (self.a + self.b)

    model = Sum()
    gradient(model, *batches[0], SAM(rho=0.5).table(COUNTS))
    assert torch.equal(model.a.grad, model.b.grad)
    assert model.a.grad.data_ptr() != model.b.grad.data_ptr()


def test_a_compiled_model_gives_the_eager_gradient(network, batches):
    _, expected = gradient(network(), *batches[0], STAGE_1.table(COUNTS))
    model = network()
    with torch._functorch.config.patch(donated_buffer=False):
        compiled = torch.compile(model, backend="aot_eager")
        _, found = gradient(model, *batches[0], STAGE_1.table(COUNTS), forward=compiled)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12)
