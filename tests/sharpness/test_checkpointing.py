"""Activation checkpointing: the same gradient, and BatchNorm does not count the layers that run again."""

import pytest
import timm
import torch
from torch.utils.checkpoint import checkpoint

from tests.sharpness.methods import CE, COUNTS, METHODS, step

RUNS = {"sgd": 1, "sam": 2, "imbsam": 2, "ssesam stage 1": 3}
"""Forward passes of a step."""


def state_after(model, batch, name, batchnorm, forward=None):
    step(model, CE, *batch, METHODS[name].table(COUNTS), forward=forward, batchnorm=batchnorm)
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    return gradients | dict(model.named_buffers())


@pytest.mark.parametrize("batchnorm", ["clean", "all"])
@pytest.mark.parametrize("name", RUNS)
def test_checkpointed_activations_change_nothing(network, batches, name, batchnorm):
    kept = state_after(network(), batches[0], name, batchnorm)
    model, runs = network(), []
    model[0].register_forward_hook(lambda *_: runs.append(1))

    def forward(images):
        return model[3:](checkpoint(model[:3], images, use_reentrant=False))

    again = state_after(model, batches[0], name, batchnorm, forward)
    assert len(runs) > RUNS[name]  # the layers did run again
    for key, value in kept.items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=1e-14)


def test_timms_checkpointing_works():
    def made(checkpointing):
        torch.manual_seed(0)
        model = timm.create_model("resnet10t", num_classes=4).double()
        model.set_grad_checkpointing(checkpointing)
        generator = torch.Generator().manual_seed(1)
        batch = torch.randn(6, 3, 32, 32, dtype=torch.float64, generator=generator), torch.tensor([0, 1, 2, 3, 0, 0])
        return state_after(model, batch, "ssesam stage 1", "clean")

    kept, again = made(False), made(True)
    for key, value in kept.items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=1e-12)


def test_reentrant_checkpointing_is_refused(network, batches):
    model = network()

    def forward(images):
        return model[3:](checkpoint(model[:3], images.requires_grad_(), use_reentrant=True))

    with pytest.raises(ValueError, match="hides parameters: use use_reentrant=False"):
        state_after(model, batches[0], "sam", "clean", forward)
