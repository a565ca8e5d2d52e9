"""Re-balancing against formulas written out, and against the loss and the classifier that it undoes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ltzoo.errors import InputError
from ltzoo.evaluate import adjust_logits, linear_classifier, tau_normalize
from ltzoo.losses import LA

COUNTS = (500, 100, 60, 20, 10, 5)


@pytest.fixture
def logits():
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tau", [0.5, 1, 2.5])
def test_adjustment_is_the_formula(tau, logits):
    found = adjust_logits(logits, COUNTS, tau)
    for n in range(40):
        for j in range(6):
            expected = float(logits[n, j]) - tau * math.log(COUNTS[j] / 695)
            assert float(found[n, j]) == pytest.approx(expected, abs=1e-12)


def test_a_tau_of_0_changes_nothing_and_rangwani2022_large_one_predicts_the_rarest_class(logits):
    assert torch.equal(adjust_logits(logits, COUNTS, 0), logits.double())
    assert (adjust_logits(logits, torch.tensor(COUNTS), 100).argmax(dim=1) == 5).all()


def test_training_with_la_adds_what_adjustment_takes_off(logits):
    labels = torch.arange(40) % 6
    criterion = LA(tau=1.3).bind(COUNTS)
    found = criterion(adjust_logits(logits, COUNTS, 1.3), labels)
    torch.testing.assert_close(found, F.cross_entropy(logits.double(), labels, reduction="none"), rtol=0, atol=1e-12)
    assert not torch.allclose(criterion(logits.double(), labels), found)


class Headed(nn.Module):
    """A model that is all classifier."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def get_classifier(self):
        return self.head


@pytest.mark.parametrize("tau", [0, 0.5, 1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_tau_normalisation_is_that_of_the_weights(tau, bias):
    torch.manual_seed(0)
    layer = nn.Linear(7, 4, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[3.0], [1.0], [0.5], [0.1]]))
    features = torch.randn(30, 7, dtype=torch.float64)
    weights = torch.stack([w / math.sqrt(sum(float(x) ** 2 for x in w)) ** tau for w in layer.weight.detach()])
    norms, offset = layer.weight.detach().norm(dim=1), layer.bias.detach() if bias else torch.zeros(4)
    found = tau_normalize(layer(features).detach(), norms, offset, tau)
    torch.testing.assert_close(found, features @ weights.T, rtol=0, atol=1e-12)


def test_norms_and_bias_are_those_of_the_models_classifier():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, -2.0], [1.0, 0.0]]))
    found = linear_classifier(Headed(layer))
    assert found.weight_norms.tolist() == [5.0, 2.0, 1.0]
    assert torch.equal(found.bias, layer.bias)
    assert not found.bias.requires_grad
    assert linear_classifier(Headed(nn.Linear(2, 3, bias=False))).bias.tolist() == [0, 0, 0]


def test_a_classifier_that_cannot_be_normalised_has_no_norms():
    zero = nn.Linear(2, 2)
    nn.init.zeros_(zero.weight)
    for head in (nn.Identity(), zero, (nn.Linear(2, 2), nn.Linear(2, 2))):
        model = Headed(nn.Identity())
        model.get_classifier = lambda head=head: head
        assert linear_classifier(model) is None


NORMS, BIAS = torch.ones(6), torch.zeros(6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: adjust_logits(z, COUNTS, -0.1), "tau must be finite and not below 0, not -0.1"),
        (lambda z: adjust_logits(z, COUNTS, math.inf), "tau must be finite"),
        (lambda z: adjust_logits(z, COUNTS, 1e308), r"with tau 1e\+308 some logits are no longer finite"),
        (lambda z: adjust_logits(z, COUNTS[1:], 1), r"shapes \(40, 6\) and \(5,\)"),
        (lambda z: adjust_logits(z, (0, *COUNTS[1:]), 1), "class counts must be"),
        (lambda z: adjust_logits(z[0], COUNTS, 1), r"shapes \(6,\) and \(6,\)"),
        (lambda z: tau_normalize(z, NORMS, BIAS, math.nan), "tau must be finite"),
        (lambda z: tau_normalize(z, NORMS, BIAS, -1), "not below 0, not -1"),
        (lambda z: tau_normalize(z, NORMS / 1e3, BIAS, 1e3), "with tau 1000 some logits are no longer finite"),
        (lambda z: tau_normalize(z, 0 * NORMS, BIAS, 1), "the smallest of weight_norms is 0.0"),
        (lambda z: tau_normalize(z, NORMS[1:], BIAS, 1), r"logits and weight_norms have the shapes"),
        (lambda z: tau_normalize(z, NORMS, BIAS[1:], 1), r"logits and bias have the shapes"),
    ],
)
def test_bad_input_is_refused(call, message, logits):
    with pytest.raises(InputError, match=message) as caught:
        call(logits)
    assert "\n" not in str(caught.value)
