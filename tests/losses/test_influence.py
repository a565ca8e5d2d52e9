"""The influence-balanced loss against its formula, written out image by image; its divisor is what it says it is."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ltzoo.losses import InfluenceBalanced, Outputs, create_loss
from tests.losses.oracle import COUNTS, TARGETS, agree, mean_of, random

KINDS = {"ib": (1.0, 0.0), "ib + cb": (0.9999, 0.0), "ib + focal": (1.0, 1.0), "of gamma 0.5": (1.0, 0.5)}


def make(beta=1.0, gamma=0.0):
    return create_loss("ib", COUNTS, start=100, factor=1000.0, epsilon=0.001, beta=beta, gamma=gamma)


def formula(logits, features, beta, gamma):
    raw = [1 / n if beta == 1 else (1 - beta) / (1 - beta**n) for n in COUNTS]
    weights = [4 * value / sum(raw) for value in raw]
    losses = []
    for i, y in enumerate(TARGETS):
        powers = [logits[i, j].exp() for j in range(4)]
        p = [power / sum(powers) for power in powers]
        off = sum(abs(p[j] - float(j == y)) for j in range(4))
        size = sum(abs(z) for z in features[i])
        cost = -weights[y] * p[y].log()
        losses.append(cost * 1000 / (off * size + 0.001) * (1 - (-cost).exp()) ** gamma)
    return mean_of(losses)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_its_formula_from_its_start_on(kind):
    loss = make(*KINDS[kind])
    loss.begin(100)
    logits, features = random(len(TARGETS), 4), random(len(TARGETS), 5, seed=1)
    outputs = Outputs(logits, features=features)
    agree(loss, outputs, lambda: formula(logits, features, *KINDS[kind]), [logits, features], TARGETS)


def test_it_is_cross_entropy_before():
    loss = make()
    loss.begin(99)
    logits, features = random(len(TARGETS), 4), random(len(TARGETS), 5, seed=1)
    agree(
        loss,
        Outputs(logits, features=features),
        lambda: F.cross_entropy(logits, torch.tensor(TARGETS)),
        [logits, features],
        TARGETS,
    )


def test_the_divisor_is_the_size_of_the_classifiers_gradient():
    features, weight = random(1, 5), random(4, 5, seed=1)
    logits = features @ weight.T
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, torch.tensor([2])), weight, retain_graph=True)
    loss = make()
    loss.begin(100)
    found = loss(Outputs(logits, features=features), torch.tensor([2]))
    cost = loss.weight[2] * F.cross_entropy(logits, torch.tensor([2]))
    torch.testing.assert_close(found[0], cost * 1000 / (gradient.abs().sum() + 0.001), rtol=1e-10, atol=0)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_the_gradient_is_finite_where_the_model_is_sure(gamma):
    loss, logits = make(gamma=gamma), torch.tensor([[200.0, 0.0, 0.0, 0.0]], requires_grad=True)
    loss.begin(100)
    loss(Outputs(logits, features=torch.ones(1, 3)), torch.tensor([0])).sum().backward()
    assert bool(logits.grad.isfinite().all())


def test_its_start_scales_with_the_epochs():
    record = InfluenceBalanced(start=100, factor=1000.0, epsilon=0.001, beta=1.0, gamma=0.0)
    assert record.scaled(30, 200) == replace(record, start=15)


@pytest.mark.parametrize("outputs", [torch.zeros(2, 4), Outputs(torch.zeros(2, 4))])
def test_logits_alone_are_refused(outputs):
    with pytest.raises(ValueError, match="the loss ib needs features; pass"):
        make()(outputs, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"start": -1}, "start must be"), ({"epsilon": 0.0}, "epsilon must be above 0"), ({"beta": 2.0}, "beta must lie")],
)
def test_senseless_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        create_loss("ib", COUNTS, **{"start": 0, "factor": 1.0, "epsilon": 1.0, "beta": 1.0, "gamma": 0.0} | changes)
