"""The cosine classifier against its definition, in float64."""

import math

import pytest
import torch
from torch import nn

from ltzoo.models import CosineClassifier


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
