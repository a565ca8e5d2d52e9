"""ResNet-34 with a small stem against torchvision's ResNet-34 and the layers of He et al. (2016)."""

import math

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import ltzoo.models
from ltzoo.models import CosineClassifier, SmallStemResNet
from tests.models.architectures import SLIM_RESNET34
from tests.models.batchnorm import randomise_batchnorm

STEM = 3 * 9 * 64 + 2 * 64
LAYER1 = 3 * (2 * 64 * 9 * 64 + 4 * 64)
LAYER2 = 64 * 9 * 128 + 7 * 128 * 9 * 128 + 16 * 128 + 64 * 128 + 2 * 128  # the last two: the projection
LAYER3 = 128 * 9 * 256 + 11 * 256 * 9 * 256 + 24 * 256 + 128 * 256 + 2 * 256
LAYER4 = 256 * 9 * 512 + 5 * 512 * 9 * 512 + 12 * 512 + 256 * 512 + 2 * 512
PARAMETERS = {10: 21_282_122, 100: 21_328_292}


def create_slim(**kwargs) -> SmallStemResNet:
    return timm.create_model(SLIM_RESNET34.name, **SLIM_RESNET34.options, **kwargs)


@pytest.mark.parametrize("num_classes", [10, 100])
def test_parameter_count(num_classes):
    model = timm.create_model("resnet34_cifar", num_classes=num_classes, device="meta")
    counts = [sum(p.numel() for p in module.parameters()) for module in model.children()]
    assert [c for c in counts if c] == [3 * 9 * 64, 2 * 64, LAYER1, LAYER2, LAYER3, LAYER4, 513 * num_classes]
    assert STEM + LAYER1 + LAYER2 + LAYER3 + LAYER4 + 513 * num_classes == PARAMETERS[num_classes] == sum(counts)
    cosine = timm.create_model("resnet34_cifar", num_classes=num_classes, classifier="cosine", device="meta")
    assert sum(p.numel() for p in cosine.parameters()) == PARAMETERS[num_classes] - num_classes  # no bias


def test_name_says_the_number_of_layers():
    model = timm.create_model("resnet34_cifar", device="meta")
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len([name for name in layers if "downsample" not in name]) == 34
    assert len(layers) == 34 + 3


def test_agrees_with_torchvision():
    torch.manual_seed(0)
    model = timm.create_model("resnet34_cifar", num_classes=7).double().eval()
    oracle = torchvision.models.resnet34(num_classes=7)
    oracle.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    oracle.maxpool = nn.Identity()
    oracle.double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def assert_same(x: Tensor) -> None:
        with torch.no_grad():
            torch.testing.assert_close(model(x), oracle(x), rtol=1e-10, atol=1e-10)

    oracle.load_state_dict(model.state_dict())
    assert_same(x[:, :, :16, :16])
    randomise_batchnorm(oracle)
    model.load_state_dict(oracle.state_dict())
    assert_same(x)
    for mode in (True, False):  # in evaluation the running statistics that training left
        model.train(mode)
        oracle.train(mode)
        assert_same(x[:, :, :15, :11])


def test_initialisation():
    torch.manual_seed(0)
    model = timm.create_model("resnet34_cifar")
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            error = 5 / math.sqrt(2 * module.weight.numel())  # five standard errors of a standard deviation
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=error), name
            assert module.weight.abs().max() > 2.2 * module.weight.std(), f"{name} is not normal but uniform"
        if isinstance(module, nn.BatchNorm2d):  # the last of a block as well
            assert torch.equal(module.weight, torch.ones_like(module.weight)), name
            assert not module.bias.any(), name
    bound = 1 / math.sqrt(512)  # torch's own
    for parameter in model.fc.parameters():
        assert 0.7 * bound < parameter.abs().max() <= bound


@pytest.mark.parametrize(("classifier", "kind"), [("linear", nn.Linear), ("cosine", CosineClassifier)])
def test_classifier_option(classifier, kind):
    model = create_slim(num_classes=7, classifier=classifier)
    assert type(model.fc) is kind
    model.reset_classifier(5)
    assert type(model.get_submodule("fc")) is kind
    if kind is CosineClassifier:
        torch.testing.assert_close(model.fc.weight.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("num_classes", [0, 10])
def test_unknown_classifier_is_refused(num_classes):
    with pytest.raises(ValueError, match="linear, cosine, nearest_mean, disalign, not 'norm'"):
        create_slim(classifier="norm", num_classes=num_classes)


@pytest.mark.parametrize("argument", ["stem_type", "replace_stem_pool", "width"])
def test_arguments_that_cannot_hold_are_refused(argument):
    with pytest.raises(TypeError, match=argument):
        create_slim(**{argument: "deep"})


def test_timms_own_arguments_are_passed_on():
    model = create_slim(act_layer="silu", drop_path_rate=0.5, zero_init_last=True)
    assert isinstance(model.act1, nn.SiLU)
    assert model.layer4[0].drop_path.drop_prob == 0.5
    assert not model.layer4[0].bn2.weight.any()


@pytest.mark.parametrize(
    ("output_stride", "reductions"), [(8, [1, 1, 2, 4, 8]), (4, [1, 1, 2, 4, 4]), (2, [1, 1, 2, 2, 2])]
)
def test_output_stride(output_stride, reductions):
    model = create_slim(features_only=True, output_stride=output_stride)
    assert model.feature_info.reduction() == reductions
    assert [f.shape[-1] for f in model(torch.randn(2, 3, 16, 16))] == [16 // r for r in reductions]


def test_default_cfg():
    cfg = timm.get_pretrained_cfg("resnet34_cifar")
    assert (cfg.input_size, cfg.num_classes, cfg.crop_pct, cfg.pool_size) == ((3, 32, 32), 10, 1.0, (4, 4))
    assert (cfg.first_conv, cfg.classifier, cfg.license) == ("conv1", "fc", "apache-2.0")
    same = timm.get_pretrained_cfg("resnet32_cifar")
    assert (cfg.mean, cfg.std) == (same.mean, same.std)
    assert not cfg.has_weights


def test_entry_point():
    model = ltzoo.models.resnet34_cifar(num_classes=3, device="meta")
    assert isinstance(model, SmallStemResNet)
    assert model.num_classes == 3
