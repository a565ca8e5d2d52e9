"""GLMC against its formula, written out image by image with soft labels, and in a step on mixed images."""

import pytest
import torch
from torch import nn

from ltzoo.losses import GLMC, Outputs, create_loss
from ltzoo.sharpness import MixedTargets, Row, StepOptions, Table, perturbed_backward
from tests.losses.oracle import COUNTS, TARGETS, agree, mean_of, random

SETTINGS = {"power": 1.2, "consistency": 4.0, "epochs": 200, "projection_size": 3}


@pytest.fixture
def loss():
    torch.manual_seed(0)
    return create_loss("glmc", COUNTS, num_features=5, **SETTINGS).double()


def linear(layer, vector):
    return [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(layer.weight, layer.bias)]  # noqa: B905


def cosine(p, h):
    dot = sum(a * b for a, b in zip(p, h, strict=True))
    return dot / (sum(a * a for a in p).sqrt() * sum(b * b for b in h).sqrt())


def formula(loss, logits, features, labels, epoch):
    """GLMC's loss of a batch; `labels` has for each image its soft label of C weights."""
    raw = [n**-1.2 for n in COUNTS]
    v = [4 * value / sum(raw) for value in raw]
    a = 1 - (epoch / 200) ** 2
    losses = []
    for i, y in enumerate(labels):
        total, h, p = 0, [], []
        for view in range(2):
            for classifier, share, weights in (
                (linear(loss.classifier, features[i, view]), a, [1] * 4),
                (logits[i, view], 1 - a, v),
            ):
                log_sum = sum(value.exp() for value in classifier).log()
                total = total - share * sum(y[j] * weights[j] * (classifier[j] - log_sum) for j in range(4))
            h.append(linear(loss.projection, features[i, view]))
            p.append(linear(loss.predictor, h[view]))
        fixed = [[value.detach() for value in one] for one in h]
        losses.append(total - 4 * (cosine(p[0], fixed[1]) + cosine(p[1], fixed[0])))
    return mean_of(losses)


@pytest.mark.parametrize("epoch", [0, 1, 100, 199])
def test_it_is_its_formula(loss, epoch):
    logits, features = random(len(TARGETS), 2, 4), random(len(TARGETS), 2, 5, seed=1)
    loss.begin(epoch)
    labels = [[float(j == y) for j in range(4)] for y in TARGETS]
    agree(
        loss,
        Outputs(logits, features=features),
        lambda: formula(loss, logits, features, labels, epoch),
        [logits, features, *loss.parameters()],
        TARGETS,
    )


def test_the_models_own_classifier_learns_from_the_second_epoch_on(loss):
    logits, features = random(len(TARGETS), 2, 4).requires_grad_(), random(len(TARGETS), 2, 5, seed=1)
    for epoch, learns in ((0, False), (1, True)):
        loss.begin(epoch)
        (gradient,) = torch.autograd.grad(
            loss(Outputs(logits, features=features), torch.tensor(TARGETS)).mean(), logits
        )
        assert bool(gradient.any()) == learns


@pytest.mark.parametrize("epoch", [-1, 200])
def test_an_epoch_that_is_none_of_its_own_is_refused(loss, epoch):
    with pytest.raises(ValueError, match=f"the loss glmc is for 200 epochs, counted from 0; {epoch} is none of them"):
        loss.begin(epoch)


class Stored(nn.Module):
    """A model whose outputs are parameters, so that a step's gradients can be compared."""

    def __init__(self):
        super().__init__()
        self.logits, self.features = nn.Parameter(random(6, 2, 4)), nn.Parameter(random(6, 2, 5, seed=1))

    def forward(self, images):
        return Outputs(self.logits, features=self.features)


def test_a_step_on_mixed_images_descends_the_formula_with_soft_labels(loss):
    model = Stored()
    loss.begin(120)
    classes = torch.tensor([[0, 1], [1, 1], [3, 0], [2, 3], [0, 2], [1, 0]])
    lam = torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weights = torch.stack([lam, 1 - lam], dim=1)
    labels = torch.zeros(6, 4, dtype=torch.float64).scatter_add(1, classes, weights).tolist()
    table = Table([Row(None, torch.ones(4, dtype=torch.float64), 0)])
    images = torch.zeros(6, 1)
    value = perturbed_backward(model, loss, images, MixedTargets(classes, weights), table, None, StepOptions())
    expected = formula(loss, model.logits, model.features, labels, 120)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-10, atol=1e-10)
    parameters = [*model.parameters(), *loss.parameters()]
    for parameter, wanted in zip(parameters, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-10, atol=1e-10)


def test_the_plain_classifier_hands_over_to_the_models(loss):
    shares = []
    for epoch in (0, 100, 150):
        loss.begin(epoch)
        shares.append(loss.share)
    assert shares == [1.0, 0.75, 0.4375]
    assert GLMC(**SETTINGS).scaled(50, 200).epochs == 50
    assert GLMC(**SETTINGS).scaled(1, 1000).epochs == 1


def test_it_changes_no_state_and_needs_two_views(loss):
    assert GLMC.views == 2
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    outputs = Outputs(random(9, 2, 4), features=random(9, 2, 5))
    loss(outputs, torch.tensor(TARGETS))
    assert all(torch.equal(before[key], value) for key, value in loss.state_dict().items())
    for wrong in (outputs.logits, Outputs(outputs.logits), Outputs(outputs.logits[:, 0], features=random(9, 5))):
        with pytest.raises(ValueError, match=r"the loss glmc needs two views of each image: .*features \(B, 2, F\)"):
            loss(wrong, torch.tensor(TARGETS))


def test_senseless_settings_are_refused():
    with pytest.raises(ValueError, match="the loss glmc needs num_features, the size of the model's features"):
        create_loss("glmc", COUNTS, **SETTINGS)
    with pytest.raises(ValueError, match="epochs and projection_size must be at least 1, not 0 and 3"):
        GLMC(**SETTINGS | {"epochs": 0})
