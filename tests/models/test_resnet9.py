"""ResNet-9 against its layers written out, its number of weights, and its initial weights."""

import math
from itertools import pairwise

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from ltzoo.models import CosineClassifier
from tests.models.batchnorm import randomise_batchnorm


@pytest.mark.parametrize(("name", "factor"), [("resnet9_cifar", 1), ("resnet9_wide_cifar", 2)])
@pytest.mark.parametrize("num_classes", [10, 100])
def test_parameter_count(name, factor, num_classes):
    channels = [3, *(factor * width for width in (16, 32, 32, 32, 64, 128, 128, 128))]
    convolutions = sum(9 * inputs * outputs + 2 * outputs for inputs, outputs in pairwise(channels))
    expected = convolutions + (128 * factor + 1) * num_classes
    model = timm.create_model(name, num_classes=num_classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 9


@pytest.mark.parametrize("size", [32, 21])
def test_agrees_with_its_layers_written_out(size):
    torch.manual_seed(0)
    model = timm.create_model("resnet9_cifar", num_classes=7).double().eval()
    randomise_batchnorm(model)

    def layer(x, conv, bn):
        x = F.conv2d(x, conv.weight, padding=1)
        x = (x - bn.running_mean[:, None, None]) / torch.sqrt(bn.running_var + bn.eps)[:, None, None]
        return F.relu(x * bn.weight[:, None, None] + bn.bias[:, None, None])

    def stage(x, blocks):
        first, *pairs = blocks
        x = F.max_pool2d(layer(x, first.conv1, first.bn1), 2, ceil_mode=True)
        for pair in pairs:
            x = x + layer(layer(x, pair.conv1, pair.bn1), pair.conv2, pair.bn2)
        return x

    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    x = layer(images, model.conv1, model.bn1)
    x = stage(x, model.layer1)
    x = stage(x, model.layer2)
    x = stage(x, list(model.layer3)[:-1]) / 4
    expected = F.linear(x.amax((2, 3)), model.fc.weight, model.fc.bias)
    torch.testing.assert_close(model(images), expected, rtol=1e-10, atol=1e-10)


def test_initial_weights_are_torchs():
    torch.manual_seed(0)
    model = timm.create_model("resnet9_cifar")
    for module in (model.conv1, model.layer3[1].conv2, model.fc):
        bound = 1 / math.sqrt(module.weight[0].numel())
        assert 0.9 * bound < module.weight.abs().max() <= bound
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 8
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)
    cosine = timm.create_model("resnet9_cifar", classifier="cosine").fc
    assert isinstance(cosine, CosineClassifier)
    assert cosine.weight.norm(dim=1).tolist() == pytest.approx([1.0] * 10)
