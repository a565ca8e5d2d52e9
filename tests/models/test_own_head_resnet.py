"""ResNet-50 with the cosine classifier differs from timm's ResNet-50 in the classifier only."""

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.resnet import ResNet
from torch import nn

import ltzoo.models
from ltzoo.models import CosineClassifier, OwnHeadResNet
from tests.models.architectures import SLIM_RESNET50
from tests.models.batchnorm import randomise_batchnorm


def create_slim(**kwargs) -> OwnHeadResNet:
    return timm.create_model(SLIM_RESNET50.name, **SLIM_RESNET50.options | kwargs)


def test_every_name_and_shape_but_the_classifiers_is_timms():
    ours = timm.create_model("resnet50_cosine", num_classes=7, device="meta").state_dict()
    timms = timm.create_model("resnet50", num_classes=7, device="meta").state_dict()
    assert timms.pop("fc.bias").shape == (7,)
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in timms.items()}
    assert list(ours) == list(timms)


@pytest.mark.parametrize("num_classes", [1000, 8142])
def test_parameter_count(num_classes):
    model = timm.create_model("resnet50_cosine", num_classes=num_classes, device="meta")
    body = 25_557_032 - 1000 * 2049  # torchvision's and timm's ResNet-50 without its classifier
    assert sum(p.numel() for p in model.parameters()) == body + 2048 * num_classes


def test_timms_resnet50_with_normalised_rows_and_no_bias_predicts_the_same_classes():
    torch.manual_seed(0)
    model = create_slim(num_classes=8).double()
    randomise_batchnorm(model)
    x = torch.randn(8, 3, 48, 48, dtype=torch.float64)
    with torch.no_grad():
        model(x)  # the running statistics that training leaves
        features = model.eval().forward_head(model.forward_features(x), pre_logits=True)
        lengths = torch.linspace(0.1, 10, 8, dtype=torch.float64)[:, None]
        model.fc.weight.copy_(lengths * features.flip(0))  # each image is of the class with its own direction
    stock = timm.create_model("resnet50", num_classes=8, **SLIM_RESNET50.options).double().eval()
    rows, bias = F.normalize(model.fc.weight.detach(), dim=1), torch.zeros(8, dtype=torch.float64)
    stock.load_state_dict(model.state_dict() | {"fc.weight": rows, "fc.bias": bias}, strict=True)
    with torch.no_grad():
        cosines, logits = model(x), stock(x)
    assert cosines.argmax(dim=1).tolist() == logits.argmax(dim=1).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    torch.testing.assert_close(cosines * features.norm(dim=1, keepdim=True), logits, rtol=1e-10, atol=1e-12)


def test_initialisation_is_timms_but_for_the_classifier():
    torch.manual_seed(0)
    ours = create_slim(num_classes=5)
    torch.manual_seed(0)
    timms = timm.create_model("resnet50", num_classes=5, **SLIM_RESNET50.options)
    assert all(torch.equal(ours.state_dict()[k], v) for k, v in timms.state_dict().items() if not k.startswith("fc."))
    torch.testing.assert_close(ours.fc.weight.norm(dim=1), torch.ones(5))


def test_the_word_that_recipes_pass_is_taken_and_no_other():
    assert type(create_slim(num_classes=7, classifier="cosine").fc) is CosineClassifier
    assert type(create_slim(num_classes=7).fc) is CosineClassifier
    assert type(create_slim(num_classes=0, classifier="cosine").fc) is nn.Identity
    with pytest.raises(ValueError, match="classifier must be one of cosine, nearest_mean, disalign, not 'linear'"):
        create_slim(classifier="linear")


def test_timms_own_arguments_are_passed_on():
    model = create_slim(act_layer="silu", drop_path_rate=0.5, zero_init_last=True, stem_type="deep", num_classes=3)
    assert isinstance(model.act1, nn.SiLU)
    assert model.layer4[0].drop_path.drop_prob == 0.5
    assert not model.layer4[0].bn3.weight.any()
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 3)
    model.reset_classifier(4)
    assert type(model.fc) is CosineClassifier
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 4)


def test_default_cfg_is_of_imagenets_images_and_has_no_weights():
    cfg, timms = timm.get_pretrained_cfg("resnet50_cosine"), timm.get_pretrained_cfg("resnet50.tv_in1k")
    for field in ("input_size", "num_classes", "pool_size", "crop_pct", "interpolation", "mean", "std"):
        assert getattr(cfg, field) == getattr(timms, field), field
    assert (cfg.first_conv, cfg.classifier, cfg.license) == ("conv1", "fc", "apache-2.0")
    assert not cfg.has_weights


def test_entry_point():
    model = ltzoo.models.resnet50_cosine(num_classes=3, device="meta")
    assert isinstance(model, OwnHeadResNet)
    assert isinstance(model, ResNet)
    assert model.num_classes == 3
    assert timm.is_model("resnet50_cosine")
