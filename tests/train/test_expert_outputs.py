"""A network with experts gives a loss the logits of each, in training and where the head alone is computed."""

import re

import pytest
import timm
import torch

from ltzoo.errors import InputError
from ltzoo.train.forward import head_outputs, model_outputs


@pytest.fixture
def model():
    torch.manual_seed(0)
    return timm.create_model("resnet20_3experts_cifar", num_classes=5, in_chans=1).double().eval()


@pytest.mark.parametrize("asks", [{"experts"}, {"features", "experts"}])
def test_the_experts_logits_and_their_mean(model, asks):
    images = torch.randn(4, 1, 16, 16, dtype=torch.float64)
    outputs = model_outputs(model, asks)(images)
    assert torch.equal(outputs.experts, model.forward_experts(images))
    torch.testing.assert_close(outputs.logits, model(images), rtol=0, atol=0)
    assert outputs.features.shape == (4, 3 * 48)
    again = head_outputs(model, asks)(outputs.features)
    assert torch.equal(again.experts, outputs.experts)


def test_features_alone_leave_the_experts_out(model):
    outputs = model_outputs(model, {"features"})(torch.zeros(2, 1, 16, 16, dtype=torch.float64))
    assert outputs.experts is None
    assert outputs.features.shape == (2, 3 * 48)


@pytest.mark.parametrize(
    ("name", "asks", "message"),
    [
        (
            "resnet20_cifar",
            {"experts"},
            "CifarResNet provides logits and features, but the loss needs experts; use another loss, or a network with "
            "experts such as resnet32_3experts_cifar",
        ),
        ("resnet20_3experts_cifar", {"projections"}, "provides logits and features and experts, but the loss needs"),
        (
            "deit_tiny_distilled_patch16_224",  # two classifiers, whose features are two as well
            {"features"},
            "VisionTransformerDistilled provides logits, but the loss needs features; use another loss",
        ),
    ],
)
def test_what_a_network_does_not_provide_is_refused(name, asks, message):
    with pytest.raises(InputError, match=re.escape(message)):
        model_outputs(timm.create_model(name, device="meta"), asks)
