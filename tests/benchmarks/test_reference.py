"""The plain reference step trains as ltzoo's does, and costs the passes that it names."""

import pytest
import torch
from torch import nn

from comparison import perturbation
from ltzoo.sharpness import perturbed_backward
from reference import PASSES, PlainLoader, ReferenceStep

COUNTS = torch.tensor([60, 30, 9, 4])
ETA, RHO_HEAD, RHO_TAIL = 10, 0.3, 0.6


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 4)]
    return nn.Sequential(*layers).double()


def batches():
    """Ten batches of twelve 4 x 4 images, the fourth without tail classes."""
    generator = torch.Generator().manual_seed(1)
    for step in range(10):
        images = torch.randn(12, 1, 4, 4, dtype=torch.float64, generator=generator)
        yield images, torch.randint(0, 2 if step == 3 else 4, (12,), generator=generator)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3)


def reference(model, method):
    return ReferenceStep(model, sgd(model), method, COUNTS < ETA, RHO_HEAD, RHO_TAIL)


@pytest.mark.parametrize("method", PASSES)
def test_ten_steps_leave_the_weights_that_ltzoo_leaves(method):
    plain, ours = network(), network()
    step, optimizer = reference(plain, method), sgd(ours)
    table = perturbation(method, RHO_HEAD, RHO_TAIL, ETA).table(COUNTS)
    criterion = nn.CrossEntropyLoss(reduction="none")
    for images, targets in batches():
        step(images, targets)
        perturbed_backward(ours, criterion, images, targets, table)
        optimizer.step()
        optimizer.zero_grad()
    for expected, found in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", PASSES)
def test_a_step_costs_the_passes_of_the_methods_own_code(method):
    model = network()
    counted = []
    model.register_forward_hook(lambda *_: counted.append(1))
    model[-1].register_full_backward_hook(lambda *_: counted.append(2))
    reference(model, method)(*next(batches()))
    assert sum(counted) == PASSES[method]


def test_the_loader_makes_as_many_full_batches_as_were_asked_for():
    images = [(torch.full((1, 4, 4), k), k) for k in range(10)]
    loader = PlainLoader(images, batch_size=4, count=5, workers=0, device=torch.device("cpu"))
    for _ in range(2):
        assert [len(targets) for _, targets in loader] == [4] * 5
