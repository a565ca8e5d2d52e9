"""Networks with experts: each expert is a plain network of its own, and the prediction is the mean of their logits."""

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

import ltzoo.models
from ltzoo.models import CifarResNet, CosineExpertsClassifier, ExpertsCifarResNet, ExpertsResNet
from ltzoo.models.classifiers import classifier_word
from tests.models.architectures import SLIM_RESNET50_EXPERTS
from tests.models.batchnorm import randomise_batchnorm

CHANNELS = (16, 16, 24, 48)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cifar(**options) -> tuple[nn.Module, nn.Module]:
    """A network with experts, and a plain one of the size of a single expert."""
    model = timm.create_model("resnet20_3experts_cifar", num_classes=7, **options)
    return model, CifarResNet(3, num_classes=0, channels=CHANNELS, **{"global_pool": "avg"} | options)


def slim50(**options) -> tuple[nn.Module, nn.Module]:
    slim = SLIM_RESNET50_EXPERTS.options
    model = timm.create_model("resnet50_3experts", num_classes=7, **slim, **options)
    return model, ResNet(Bottleneck, num_classes=0, **slim, **options)


def weights_of(model: nn.Module, expert: int) -> dict[str, Tensor]:
    """The weights that an image of this expert sees, by the names of a plain network."""
    own = f".experts.{expert}."
    state = {key.replace(own, "."): value for key, value in model.state_dict().items()}
    return {key: value for key, value in state.items() if ".experts." not in key and not key.startswith("fc.")}


@pytest.mark.parametrize("make", [cifar, slim50])
@pytest.mark.parametrize("pool", ["avg", "catavgmax"])
def test_each_expert_is_a_plain_network_with_a_scaled_cosine_classifier(make, pool):
    model, plain = make(global_pool=pool)
    model, plain = model.double(), plain.double().eval()
    randomise_batchnorm(model)
    x = torch.randn(5, 3, 24, 24, dtype=torch.float64)
    with torch.no_grad():
        model(x)  # the running statistics that training leaves
        experts = model.eval().forward_experts(x)
        assert experts.shape == (5, 3, 7)
        for e in range(3):
            plain.load_state_dict(weights_of(model, e))
            features = plain(x)
            # A class's vectors of all experts, average before maximum.
            kinds = 2 if pool == "catavgmax" else 1
            vectors = model.fc.weight.view(7, kinds, 3, -1)[:, :, e].reshape(7, -1)
            cosines = (F.normalize(features, dim=1)[:, None] * F.normalize(vectors, dim=1)).sum(dim=2)
            torch.testing.assert_close(experts[:, e], 30 * cosines, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [cifar, slim50])
@pytest.mark.parametrize("training", [False, True])
def test_the_prediction_is_the_mean_of_the_experts_logits_also_in_training(make, training):
    model = make()[0].double().train(training)
    x = torch.randn(4, 3, 24, 24, dtype=torch.float64)
    experts = model.forward_experts(x)
    torch.testing.assert_close(model(x), sum(experts[:, e] for e in range(3)) / 3, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(experts[:, 0], experts[:, 1])


def block(inputs: int, outputs: int) -> int:
    """Parameters of a basic block: two 3x3 convolutions, each with BatchNorm."""
    return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs


@pytest.mark.parametrize(
    ("name", "blocks", "stated"), [("resnet20_3experts_cifar", 3, 0.45e6), ("resnet32_3experts_cifar", 5, 0.78e6)]
)
def test_parameter_count_of_the_cifar_networks(name, blocks, stated):
    model = timm.create_model(name, num_classes=100, device="meta")
    shared = 3 * 9 * 16 + 2 * 16 + blocks * block(16, 16)
    expert = block(16, 24) + (blocks - 1) * block(24, 24) + block(24, 48) + (blocks - 1) * block(48, 48)
    expected = shared + 3 * (expert + 100 * 48)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert expected == pytest.approx(stated, rel=0.03)


@pytest.mark.parametrize("num_classes", [1000, 8142])
def test_parameter_count_of_resnet50(num_classes):
    def bottlenecks(inputs: int, width: int, count: int) -> int:
        first = inputs * width + 9 * width**2 + 4 * width**2 + 12 * width  # with BatchNorms of 1, 1 and 4 times width
        later = first + (4 * width - inputs) * width
        return first + 4 * inputs * width + 8 * width + (count - 1) * later  # and the projection shortcut

    model = timm.create_model("resnet50_3experts", num_classes=num_classes, device="meta")
    shared = 3 * 49 * 64 + 2 * 64 + bottlenecks(64, 64, 3) + bottlenecks(256, 128, 4)
    expert = bottlenecks(512, 192, 6) + bottlenecks(768, 384, 3)
    body = shared + 3 * expert
    assert body == pytest.approx(39.1e6, rel=0.002)
    assert sum(p.numel() for p in model.parameters()) == body + 4608 * num_classes


def test_experts_begin_apart_with_class_vectors_of_unit_length():
    model = timm.create_model("resnet20_3experts_cifar", num_classes=7)
    first, second = (weights_of(model, e) for e in (0, 1))
    apart = {key for key in first if "conv" in key and not torch.equal(first[key], second[key])}
    assert apart == {key for key in first if key.startswith(("layer2", "layer3")) and "conv" in key}
    norms = model.fc.by_expert(model.fc.weight).norm(dim=2)
    torch.testing.assert_close(norms, torch.ones(7, 3))


def test_convolutions_begin_as_in_the_plain_network():
    model = timm.create_model("resnet32_3experts_cifar")
    stds = [w.std() * (w[0].numel() / 2) ** 0.5 for key, w in weights_of(model, 2).items() if "conv" in key]
    torch.testing.assert_close(torch.stack(stds).mean(), torch.tensor(1.0), rtol=0.05, atol=0)  # Kaiming, fan_in


def test_another_number_of_experts():
    model = timm.create_model("resnet20_3experts_cifar", num_experts=4, num_classes=5)
    assert model.forward_experts(torch.zeros(2, 3, 32, 32)).shape == (2, 4, 5)
    assert model.num_features == 4 * 48
    with pytest.raises(ValueError, match="num_experts must be at least 1, not 0"):
        timm.create_model("resnet20_3experts_cifar", num_experts=0)


@pytest.mark.parametrize("name", ["resnet20_3experts_cifar", "resnet50_3experts"])
def test_there_is_one_kind_of_classifier(name):
    model = timm.create_model(name, num_classes=3, classifier="cosine_experts", device="meta")
    assert isinstance(model.get_classifier(), CosineExpertsClassifier)
    assert classifier_word(model) == "cosine_experts"
    with pytest.raises(ValueError, match="classifier must be cosine_experts, not 'linear'"):
        timm.create_model(name, classifier="linear")
    with pytest.raises(ValueError, match="classifier must be one of linear, cosine, nearest_mean, disalign"):
        timm.create_model("resnet20_cifar", classifier="cosine_experts")


def test_a_network_cut_before_its_experts_has_one_classifier():
    model = timm.create_model("resnet20_3experts_cifar")
    model.prune_intermediate_layers([0])
    model.reset_classifier(5, "avg")
    assert model.forward_experts(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 5)


def test_an_all_zero_feature_has_logits_of_zero():
    head = CosineExpertsClassifier(6, 4, num_experts=3)
    assert torch.equal(head(torch.zeros(2, 6)), torch.zeros(2, 4))
    assert "in_features=6, num_classes=4, num_experts=3, scale=30.0" in repr(head)


def test_entry_points():
    small = ltzoo.models.resnet32_3experts_cifar(num_classes=3, device="meta")
    large = ltzoo.models.resnet50_3experts(num_classes=3, device="meta")
    assert (type(small), type(large)) == (ExpertsCifarResNet, ExpertsResNet)
    assert large(torch.empty(1, 3, 64, 64, device="meta")).shape == (1, 3)
    assert ltzoo.models.resnet20_3experts_cifar(in_chans=1)(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
