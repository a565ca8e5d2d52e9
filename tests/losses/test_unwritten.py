"""Buffers that forward passes only read: no copies of them are kept, and every state stays bit for bit what it was."""

import pytest
import torch
from torch import nn

from ltzoo.losses import CE, LossModule
from ltzoo.sharpness import SAM, SSESAM, StepOptions, perturbed_backward, running_statistics
from tests.losses.contrastive import TARGETS, forward_of, make_criterion, make_images, make_network
from tests.losses.plain import COUNTS

METHODS = {"sam": SAM(rho=0.3), "ssesam": SSESAM(rho_head=0.2, rho_tail=0.3, gamma=1.0, eta=COUNTS[1])}


def trained(name, method, steps=4):
    """Weights and state after some steps, over two epochs."""
    model = make_network()
    criterion = make_criterion(name, model)
    parameters = [*model.parameters(), *criterion.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    options = StepOptions(forward=forward_of(name, model))
    for number in range(steps):
        if number % 2 == 0:
            criterion.begin(number // 2)
        table = METHODS[method].table(COUNTS)
        perturbed_backward(model, criterion, make_images(name, seed=number), TARGETS, table, None, options)
        optimizer.step()
        optimizer.zero_grad()
    return model.state_dict() | {f"loss.{key}": value for key, value in criterion.state_dict().items()}


def forget(monkeypatch):
    """Let all buffers be copied, as if no module named those that are only read."""
    real = running_statistics.RunningStatistics.__init__

    def init(self, *modules):
        named = [layer for module in modules for layer in module.modules() if getattr(layer, "unwritten", ())]
        before = [layer.unwritten for layer in named]
        for layer in named:
            layer.unwritten = frozenset()
        real(self, *modules)
        for layer, names in zip(named, before, strict=True):
            layer.unwritten = names
        assert not self.unwritten

    monkeypatch.setattr(running_statistics.RunningStatistics, "__init__", init)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["paco", "proco", "bcl"])
def test_state_and_weights_are_bit_for_bit_those_with_copies(name, method, monkeypatch):
    found = trained(name, method)
    forget(monkeypatch)
    expected = trained(name, method)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    moved = {"paco": "loss.queue", "proco": "loss.means", "bcl": "conv.weight"}[name]
    assert bool(found[moved].any())


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("paco", ["queue", "queue_labels", "key_model.network.conv.weight", "key_head.network.layers.0.weight"]),
        ("proco", ["means", "counts", "epoch_means", "epoch_counts"]),
    ],
)
def test_no_perturbed_pass_copies_what_it_only_reads(name, read, monkeypatch):
    model = make_network()
    criterion = make_criterion(name, model)
    copied = set()
    real = running_statistics.copies_of

    def copies_of(buffers):
        copied.update(buffer.data_ptr() for buffer in buffers)
        return real(buffers)

    monkeypatch.setattr(running_statistics, "copies_of", copies_of)
    options, images = StepOptions(forward=forward_of(name, model)), make_images(name)
    perturbed_backward(model, criterion, images, TARGETS, SAM(rho=0.3).table(COUNTS), None, options)
    assert all(criterion.get_buffer(key).data_ptr() not in copied for key in read)
    forget(monkeypatch)
    perturbed_backward(model, criterion, images, TARGETS, SAM(rho=0.3).table(COUNTS), None, options)
    assert all(criterion.get_buffer(key).data_ptr() in copied for key in read)


class Counting(LossModule):
    """A loss whose forward pass writes what it says it only reads."""

    unwritten = frozenset({"passes"})

    def __init__(self):
        super().__init__(CE())
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, outputs, targets):
        self.passes += 1
        return nn.functional.cross_entropy(outputs, targets, reduction="none")


def test_a_buffer_that_is_written_after_all_is_named():
    model = nn.Linear(3, 4).double()
    images, targets = torch.randn(5, 3, dtype=torch.float64), torch.arange(5) % 4
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(ValueError, match=r"a forward pass has written Counting\.passes, which `unwritten` names; take"):
        perturbed_backward(model, Counting(), images, targets, SAM(rho=0.3).table(COUNTS))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_what_others_write_beside_it_is_still_taken_back():
    class Mixed(nn.Module):
        unwritten = frozenset({"constant"})

        def __init__(self):
            super().__init__()
            self.register_buffer("constant", torch.ones(2))
            self.register_buffer("mean", torch.zeros(2))

        def forward(self, x):
            self.mean += x.mean(dim=0)
            return x * self.constant

    module = Mixed()
    with running_statistics.RunningStatistics(module).frozen():
        module(torch.ones(3, 2))
    assert module.mean.tolist() == [0, 0]
