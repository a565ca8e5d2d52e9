"""The CIFAR ResNets against He et al. (2016), section 4.2, and Cao et al. (2019)."""

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ltzoo.models
from ltzoo.models import CifarResNet, CosineClassifier
from ltzoo.models.cifar_blocks import ZeroPadShortcut
from tests.models.batchnorm import randomise_batchnorm

DEPTHS = [20, 32, 44, 56]
PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018}
PAPER_MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85}


def plain_shortcut(x: Tensor, out_chs: int, stride: int) -> Tensor:
    """Option A, one number at a time."""
    batch, in_chs, height, width = x.shape
    out = x.new_zeros(batch, out_chs, math.ceil(height / stride), math.ceil(width / stride))
    offset = (out_chs - in_chs) // 2
    for channel in range(in_chs):
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                out[:, offset + channel, i, j] = x[:, channel, i * stride, j * stride]
    return out


def plain_forward(state: dict[str, Tensor], num_blocks: int, x: Tensor) -> Tensor:
    """The network of section 4.2 in evaluation, written out over a state dict."""

    def conv_bn(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        mean, var, weight, bias = (
            state[f"{bn}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = conv_bn(x, "conv1", "bn1").clamp(min=0)
    for stage, width in enumerate((16, 32, 64), start=1):
        for block in range(num_blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            residual = conv_bn(x, f"{name}.conv1", f"{name}.bn1", stride).clamp(min=0)
            residual = conv_bn(residual, f"{name}.conv2", f"{name}.bn2")
            x = (residual + plain_shortcut(x, width, stride)).clamp(min=0)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def test_the_wide_network_is_that_of_glmc():
    """Counted by hand: convolutions and BatchNorm of stem and three stages of 64, 128 and 256 channels, classifier."""
    stem = 9 * 3 * 64 + 2 * 64
    blocks = [9 * a * b + 9 * b * b + 4 * b for a, b in ((64, 64), (64, 128), (128, 128), (128, 256), (256, 256))]
    expected = stem + 5 * blocks[0] + blocks[1] + 4 * blocks[2] + blocks[3] + 4 * blocks[4] + 257 * 10
    model = timm.create_model("resnet32_wide_cifar", num_classes=10)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert round(expected / 1e6, 1) == 7.4
    assert [info["num_chs"] for info in model.feature_info] == [64, 128, 256]
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_parameter_count(depth):
    model = timm.create_model(f"resnet{depth}_cifar", num_classes=10)
    count = sum(p.numel() for p in model.parameters())
    assert count == PARAMETERS[depth]
    assert round(count / 1e6, 2) == PAPER_MILLIONS[depth]
    cosine = timm.create_model(f"resnet{depth}_cifar", num_classes=10, classifier="cosine")
    assert sum(p.numel() for p in cosine.parameters()) == count - 10  # no bias


@pytest.mark.parametrize("depth", DEPTHS)
def test_name_says_the_number_of_layers(depth):
    model = timm.create_model(f"resnet{depth}_cifar")
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()) == depth


@pytest.mark.parametrize(
    ("in_chs", "out_chs", "stride", "size"),
    [(16, 32, 2, (8, 8)), (32, 64, 2, (4, 6)), (16, 32, 2, (7, 5)), (4, 4, 2, (6, 6)), (4, 7, 1, (3, 3))],
)
def test_shortcut_against_plain_computation(in_chs, out_chs, stride, size):
    x = torch.randn(2, in_chs, *size)
    shortcut = ZeroPadShortcut(in_chs, out_chs, stride)
    assert torch.equal(shortcut(x), plain_shortcut(x, out_chs, stride))
    assert not list(shortcut.parameters())


@pytest.mark.parametrize(("in_chans", "size"), [(3, (32, 32)), (1, (16, 16)), (3, (9, 13))])
def test_forward_against_plain_computation(in_chans, size):
    torch.manual_seed(0)
    model = timm.create_model("resnet20_cifar", in_chans=in_chans, num_classes=7).double().eval()
    randomise_batchnorm(model)
    x = torch.randn(2, in_chans, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), plain_forward(model.state_dict(), 3, x), rtol=1e-10, atol=1e-10)


def test_forward_leaves_its_input_alone():
    model = timm.create_model("resnet20_cifar")
    x = torch.randn(2, 3, 32, 32)
    before = x.clone()
    model(x)
    assert torch.equal(x, before)


def assert_initialised(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach()
            fan_in = weight[0].numel()
            error = 5 / math.sqrt(2 * weight.numel())  # five standard errors of a standard deviation
            assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=error), name
            assert weight.abs().max() > 2.2 * weight.std(), f"{name} is not normal but uniform"
        if isinstance(module, nn.BatchNorm2d):
            for tensor, value in [
                (module.weight, 1),
                (module.bias, 0),
                (module.running_mean, 0),
                (module.running_var, 1),
            ]:
                assert torch.equal(tensor, torch.full_like(tensor, value)), name
    if isinstance(model.fc, nn.Linear):
        assert model.fc.bias.abs().max() <= 1 / math.sqrt(64)
        assert model.fc.bias.std() > 0.01
    else:
        torch.testing.assert_close(model.fc.weight.norm(dim=1), torch.ones(model.num_classes))


@pytest.mark.parametrize("classifier", ["linear", "cosine"])
def test_initialisation(classifier):
    torch.manual_seed(0)
    model = timm.create_model("resnet20_cifar", num_classes=100, classifier=classifier)
    assert_initialised(model)
    model.reset_classifier(50)
    assert_initialised(model)


@pytest.mark.parametrize("classifier", ["linear", "cosine"])
def test_init_weights_fills_a_model_without_storage(classifier):
    torch.manual_seed(0)
    model = timm.create_model("resnet20_cifar", num_classes=100, classifier=classifier, device="meta")
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(77)
    model.init_weights()
    assert_initialised(model)


@pytest.mark.parametrize(("classifier", "kind"), [("linear", nn.Linear), ("cosine", CosineClassifier)])
def test_classifier_option(classifier, kind):
    model = timm.create_model("resnet20_cifar", num_classes=7, classifier=classifier)
    assert type(model.fc) is kind
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("classifier", ["Cosine", "", "norm"])
def test_unknown_classifier_is_refused(classifier, num_classes):
    with pytest.raises(ValueError, match="must be one of linear, cosine, nearest_mean, disalign") as error:
        timm.create_model("resnet20_cifar", classifier=classifier, num_classes=num_classes)
    assert repr(classifier) in str(error.value)


def test_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="width"):
        timm.create_model("resnet20_cifar", width=2)


def test_dropout_acts_before_the_classifier_and_in_training_alone():
    torch.manual_seed(0)
    model = timm.create_model("resnet20_cifar", drop_rate=1.0)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(x), model.fc.bias.expand(2, -1))
    model.eval()
    torch.testing.assert_close(model(x), model.fc(model.forward_features(x).mean(dim=(2, 3))))


def test_registered_with_timm_beside_its_own_models():
    names = sorted([*(f"resnet{depth}_cifar" for depth in DEPTHS), "resnet32_wide_cifar"])
    assert timm.list_models(module="cifar_resnet") == names
    assert not set(names) & set(timm.list_models(module="resnet"))
    assert not set(names) & set(timm.list_pretrained())


@pytest.mark.parametrize("depth", DEPTHS)
def test_default_cfg(depth):
    cfg = timm.get_pretrained_cfg(f"resnet{depth}_cifar")
    assert (cfg.input_size, cfg.num_classes, cfg.crop_pct) == ((3, 32, 32), 10, 1.0)
    assert cfg.mean == (0.4914, 0.4822, 0.4465)
    assert cfg.std == (0.2023, 0.1994, 0.2010)
    assert not cfg.has_weights
    assert timm.create_model(f"resnet{depth}_cifar").num_classes == 10


@pytest.mark.parametrize("depth", DEPTHS)
def test_entry_point(depth):
    model = getattr(ltzoo.models, f"resnet{depth}_cifar")(num_classes=3)
    assert isinstance(model, CifarResNet)
    assert model.num_classes == 3
