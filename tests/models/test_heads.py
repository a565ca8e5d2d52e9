"""The classifiers against their definitions, in float64."""

import math

import pytest
import torch
from torch import nn

from ltzoo.models import CosineClassifier, CosineExpertsClassifier, DisAlignClassifier, NearestMeanClassifier
from ltzoo.models.classifiers import OWN_CLASSIFIERS, classifier_class
from ltzoo.models.computed_heads import fit_class_means_, fit_nearest_mean_, tau_normalize_
from ltzoo.models.heads import ScaledCosineClassifier, ScaledLinear


def plain_cosine(x: list[float], w: list[float]) -> float:
    dot = sum(a * b for a, b in zip(x, w, strict=True))
    return dot / math.sqrt(sum(a * a for a in x)) / math.sqrt(sum(b * b for b in w))


@pytest.fixture
def head() -> CosineClassifier:
    torch.manual_seed(0)
    head = CosineClassifier(8, 5, dtype=torch.float64)
    with torch.no_grad():
        head.weight.mul_(torch.tensor([0.1, 1.0, 3.0, 10.0, 0.5], dtype=torch.float64)[:, None])  # as after training
    return head


def test_logits_are_cosines(head):
    x = torch.randn(4, 8, dtype=torch.float64) * 7
    expected = [[plain_cosine(row, w) for w in head.weight.tolist()] for row in x.tolist()]
    torch.testing.assert_close(head(x), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14)


def test_only_directions_matter(head):
    x = torch.randn(4, 8, dtype=torch.float64)
    logits = head(x)
    torch.testing.assert_close(head(1000 * x), logits, rtol=0, atol=1e-14)
    with torch.no_grad():
        head.weight.mul_(0.01)
    torch.testing.assert_close(head(x), logits, rtol=0, atol=1e-14)


def test_own_class_vector_has_cosine_one(head):
    logits = head(head.weight.detach())
    torch.testing.assert_close(logits.diagonal(), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-14)
    torch.testing.assert_close(head(-head.weight.detach()), -logits)


def test_all_zero_feature_has_zero_logits(head):
    assert torch.equal(head(torch.zeros(2, 8, dtype=torch.float64)), torch.zeros(2, 5, dtype=torch.float64))


def test_leading_dimensions_are_kept(head):
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(head(x), head(x.flatten(0, 1)).unflatten(0, (2, 3)))


def test_gradients(head):
    x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(head, {"weight": w}, x), (x, head.weight))


def test_weight_gradient_is_orthogonal_to_the_weight(head):
    head(torch.randn(3, 8, dtype=torch.float64)).square().sum().backward()
    assert head.weight.grad.norm() > 0.01
    radial = (head.weight.grad * head.weight).sum(dim=1)
    torch.testing.assert_close(radial, torch.zeros_like(radial), rtol=0, atol=1e-14)


def test_initialisation_is_a_normalised_uniform_draw():
    torch.manual_seed(3)
    weight = CosineClassifier(8, 5).weight
    torch.manual_seed(3)
    draw = torch.rand(5, 8) * 2 - 1
    torch.testing.assert_close(weight.detach(), draw / draw.square().sum(dim=1, keepdim=True).sqrt())


def test_has_a_weight_as_linear_has_and_no_bias():
    parameters = dict(CosineClassifier(8, 5).named_parameters())
    assert list(parameters) == ["weight"]
    assert parameters["weight"].shape == nn.Linear(8, 5).weight.shape


def test_device_and_dtype():
    head = CosineClassifier(8, 5, device="meta", dtype=torch.bfloat16)
    assert head.weight.device.type == "meta"
    assert head.weight.dtype == torch.bfloat16


def test_repr_names_its_sizes():
    assert repr(CosineClassifier(8, 5)) == "CosineClassifier(in_features=8, num_classes=5)"


def linear(classes: int = 5, width: int = 8) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(width, classes, dtype=torch.float64)


def features(images: int = 30, width: int = 8) -> torch.Tensor:
    return torch.randn(images, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) + 3


def test_the_scaled_classifier_folds_into_a_linear_one():
    source, x = linear(), features()
    head = ScaledLinear(source)
    assert torch.equal(head(x), source(x))
    with torch.no_grad():
        head.scale.copy_(torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0]))
    expected = torch.stack([head.scale[j] * (x @ source.weight[j] + source.bias[j]) for j in range(5)], dim=1)
    torch.testing.assert_close(head(x), expected, rtol=1e-12, atol=1e-12)
    folded = head.folded()
    assert type(folded) is nn.Linear
    torch.testing.assert_close(folded(x), head(x), rtol=1e-12, atol=1e-12)
    single = ScaledLinear(linear().float())
    with torch.no_grad():
        single.scale.copy_(torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0]))
    torch.testing.assert_close(single.folded()(x.float()), single(x.float()), rtol=1e-6, atol=1e-6)
    assert single.weight is not single.folded().weight


def test_a_scaled_classifier_without_bias_folds_too():
    source = nn.Linear(4, 3, bias=False, dtype=torch.float64)
    head = ScaledLinear(source)
    with torch.no_grad():
        head.scale.copy_(torch.tensor([2.0, 3.0, 4.0]))
    x = torch.randn(2, 4, dtype=torch.float64)
    assert head.folded().bias is None
    torch.testing.assert_close(head.folded()(x), head(x))


@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0, 2.0])
def test_tau_normalisation_is_its_closed_form(tau):
    source, x = linear(), features()
    expected = [[(sum(a * b for a, b in zip(row, w, strict=True))) / math.sqrt(sum(b * b for b in w)) ** tau
                 for w in source.weight.tolist()] for row in x.tolist()]  # fmt: skip
    tau_normalize_(source, tau)
    torch.testing.assert_close(source(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert not source.bias.any()


def test_the_nearest_class_mean_is_its_closed_form():
    x, labels = features(), torch.arange(30) % 5
    head = NearestMeanClassifier(8, 5, dtype=torch.float64)
    fit_nearest_mean_(head, x, labels)
    center = [sum(row[k] for row in x.tolist()) / 30 for k in range(8)]

    def unit(row: list[float]) -> list[float]:
        moved = [a - b for a, b in zip(row, center, strict=True)]
        length = math.sqrt(sum(a * a for a in moved))
        return [a / length for a in moved]

    units = [unit(row) for row in x.tolist()]
    means = [[sum(units[i][k] for i in range(30) if i % 5 == j) / 6 for k in range(8)] for j in range(5)]
    torch.testing.assert_close(head.weight.detach(), torch.tensor(means, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    distances = [[math.dist(u, mean) for mean in means] for u in units]
    expected = -torch.tensor(distances, dtype=torch.float64).square()
    torch.testing.assert_close(head(x), expected, rtol=1e-10, atol=1e-12)
    assert head(x).argmax(dim=1).tolist() == [min(range(5), key=row.__getitem__) for row in distances]
    # The means are inside the unit sphere, so that their lengths count: directions alone choose other classes.
    assert (head.weight.norm(dim=1) < 0.9).all()


def test_disalign_is_its_closed_form():
    torch.manual_seed(4)
    head, x = DisAlignClassifier(8, 5, dtype=torch.float64), features() / 3
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_().requires_grad_(False)
    expected = []
    for row in x.tolist():
        c = 1 / (1 + math.exp(-sum(a * b for a, b in zip(row, head.confidence_weight.tolist(), strict=True))
                              - head.confidence_bias.item()))  # fmt: skip
        plain = [sum(a * b for a, b in zip(row, w, strict=True)) + b0
                 for w, b0 in zip(head.weight.tolist(), head.bias.tolist(), strict=True)]  # fmt: skip
        expected.append([(1 + c * a) * f + c * b for a, f, b in zip(head.scale, plain, head.offset, strict=True)])
    torch.testing.assert_close(head(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_disalign_begins_as_its_authors_have_it():
    head = DisAlignClassifier(8, 5)
    assert (head.scale == 1).all() and not head.offset.any() and (head.confidence_weight == 0.1).all()
    assert head.confidence_bias.abs() <= 8**-0.5
    # With a = 1 and b = 0 every logit is scaled by the same 1 + c > 1: no class changes.
    x = torch.randn(6, 8)
    assert torch.equal(head(x).argmax(1), torch.nn.functional.linear(x, head.weight, head.bias).argmax(1))


@pytest.mark.parametrize("word", OWN_CLASSIFIERS)
def test_what_a_classifier_adds_is_what_a_linear_one_lacks(word):
    head = classifier_class(word)(8, 5)
    own = set(head.state_dict())
    assert own - set(head.added) <= set(linear().state_dict())
    assert set(head.added) <= own
    assert all(value.isfinite().all() for value in head.state_dict().values())
    assert repr(head).endswith("Classifier(in_features=8, num_classes=5)")


def test_an_unknown_classifier_is_refused():
    with pytest.raises(ValueError, match="classifier must be one of linear, cosine, nearest_mean, disalign, not 'x'"):
        classifier_class("x")


@pytest.mark.parametrize("fit", [fit_class_means_, fit_nearest_mean_])
def test_a_class_without_features_is_named(fit):
    scaled = ScaledCosineClassifier(nn.Linear(8, 5), 25.0)
    head = scaled if fit is fit_class_means_ else NearestMeanClassifier(8, 5)
    with pytest.raises(ValueError, match=r"these classes have no features, so no mean: \[1, 4\]; give at least one"):
        fit(head, torch.randn(6, 8), torch.tensor([0, 2, 3, 3, 2, 0]))


@pytest.fixture
def scaled() -> ScaledCosineClassifier:
    torch.manual_seed(0)
    return ScaledCosineClassifier(nn.Linear(8, 5, dtype=torch.float64), scale=25.0).eval()


def test_scaled_cosines_are_the_plain_ones_times_the_scale(scaled):
    x = torch.randn(4, 8, dtype=torch.float64) * 7
    expected = [[25 * plain_cosine(row, w) for w in scaled.weight.tolist()] for row in x.tolist()]
    torch.testing.assert_close(scaled(x), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-13)


def test_the_folded_layer_divides_by_the_mean_length_and_predicts_the_same(scaled):
    x = torch.randn(50, 8, dtype=torch.float64)
    scaled.feature_length.fill_(2.5)
    linear = scaled.folded()
    assert type(linear) is nn.Linear and not linear.bias.any()
    torch.testing.assert_close(linear(x), scaled(x) * x.norm(dim=1, keepdim=True) / 2.5)
    assert torch.equal(linear(x).argsort(dim=1), scaled(x).argsort(dim=1))
    assert ScaledCosineClassifier(nn.Linear(8, 5, bias=False), 25.0).folded().bias is None


def test_class_vectors_are_the_directions_of_the_classes_mean_features(scaled):
    features, labels = torch.randn(30, 8, dtype=torch.float64) + 1, torch.arange(30) % 5
    fit_class_means_(scaled, features, labels)
    for j in range(5):
        rows = [row for row, label in zip(features.tolist(), labels.tolist(), strict=True) if label == j]
        mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        length = math.sqrt(sum(value * value for value in mean))
        assert scaled.weight[j].tolist() == pytest.approx([value / length for value in mean])
    lengths = [math.sqrt(sum(value * value for value in row)) for row in features.tolist()]
    assert float(scaled.feature_length) == pytest.approx(sum(lengths) / 30)


def test_the_mean_length_follows_the_batches_of_training_alone(scaled):
    x = torch.full((3, 8), 0.5, dtype=torch.float64)  # of length sqrt(2)
    scaled(x)
    assert float(scaled.feature_length) == 1
    scaled.train()(x)
    assert float(scaled.feature_length) == pytest.approx(0.9 + 0.1 * math.sqrt(2))


COSINES = {
    "cosine": lambda: CosineClassifier(64, 5),
    "scaled": lambda: ScaledCosineClassifier(nn.Linear(64, 5), 25.0).eval(),
    "experts": lambda: CosineExpertsClassifier(64, 5, num_experts=2),
}


@pytest.mark.parametrize("name", COSINES)
def test_cosines_are_not_rounded_under_autocast(name):
    head, x = COSINES[name](), torch.randn(16, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, head(x))


@pytest.mark.parametrize("name", COSINES)
def test_cosines_of_features_in_half_precision_are_in_the_weights_dtype(name):
    head, x = COSINES[name](), torch.randn(16, 64).bfloat16()
    assert torch.equal(head(x), head(x.float()))


@pytest.mark.parametrize("name", COSINES)
def test_cosines_have_a_shape_where_autocast_does_not_exist(name):
    assert COSINES[name]().to("meta")(torch.randn(16, 64, device="meta")).shape == (16, 5)
