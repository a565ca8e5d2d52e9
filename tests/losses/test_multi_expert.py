"""RIDE and SADE against their formulas, written out image by image, expert by expert and class by class."""

import math
import re

import pytest
import torch

from ltzoo.losses import RIDE, SADE, Outputs, create_loss
from tests.losses.oracle import COUNTS, TARGETS, agree, mean_of, random

CLASSES = range(4)
SETTINGS = {"max_margin": 0.5, "scale": 30.0, "diversity": 0.45, "spread": 0.05, "start": 160, "beta": 0.9999}


def softmax(values):
    """Probabilities of a list of scalars."""
    powers = [value.exp() for value in values]
    return [power / sum(powers) for power in powers]


def ride(experts, late):
    """RIDE's loss of a batch as in the paper's notation: a mean for each expert, and the sum of these."""
    margins = [n**-0.25 for n in COUNTS]
    margins = [0.5 * m / max(margins) for m in margins]
    weights = [(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS] if late else [1.0] * 4
    t = [4 * n / sum(COUNTS) * 0.05 + 1 - 0.05 for n in COUNTS]
    temperature = [value / max(t) for value in t] if late else [1.0] * 4
    number = experts.shape[1]
    total = 0
    for e in range(number):
        costs, divergences = [], []
        for i, y in enumerate(TARGETS):
            f = experts[i, e]
            lowered = [f[j] - (30 * margins[y] if j == y else 0) for j in CLASSES]
            costs.append(weights[y] * -softmax(lowered)[y].log())
            g = [sum(experts[i, k, j].detach() for k in range(number)) / number for j in CLASSES]
            p = softmax([g[j] / temperature[j] for j in CLASSES])
            q = softmax([f[j] / temperature[j] for j in CLASSES])
            divergences.append(sum(p[j] * (p[j] / q[j]).log() for j in CLASSES))
        weighted_mean = sum(costs) / sum(weights[y] for y in TARGETS)
        total = total + weighted_mean - 0.45 * (sum(temperature) / 4) ** 2 * mean_of(divergences)
    return total


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("epoch", [0, 159, 160, 199])
def test_ride_is_its_formula(number, epoch):
    loss = create_loss("ride", COUNTS, **SETTINGS)
    loss.begin(epoch)
    experts = random(len(TARGETS), number, 4)
    outputs = Outputs(experts.mean(dim=1), experts=experts)
    agree(loss, outputs, lambda: ride(experts, epoch >= 160), [experts], TARGETS)


def test_rides_stages_differ_and_its_experts_gain_from_being_apart():
    loss, plain = (create_loss("ride", COUNTS, **SETTINGS | {"diversity": d}) for d in (0.45, 0.0))
    experts = random(len(TARGETS), 3, 4)
    outputs, targets = Outputs(experts.mean(dim=1), experts=experts), torch.tensor(TARGETS)
    first = loss(outputs, targets)
    assert bool((first < plain(outputs, targets)).all())
    loss.begin(160)
    assert not torch.allclose(loss(outputs, targets), first)
    loss.begin(0)
    assert torch.equal(loss(outputs, targets), first)


def test_rides_stage_scales_with_the_epochs():
    loss = RIDE(**SETTINGS)
    assert loss.scaled(100, 200).start == 80
    assert loss.scaled(7, 200) == RIDE(**SETTINGS | {"start": 5})


def test_ride_ties_the_images_of_a_batch_together():
    module = create_loss("ride", COUNTS, **SETTINGS)
    assert (module.asks, module.ties_images, module.single_process) == ({"experts"}, True, True)
    assert not list(module.parameters())


def sade(experts, tau, reverse):
    total = []
    for i, y in enumerate(TARGETS):
        terms = 0
        for e in range(3):
            logits = []
            for j in CLASSES:
                pi, other = COUNTS[j] / sum(COUNTS), reverse[j] / sum(COUNTS)
                offset = [0, math.log(pi), math.log(pi) - tau * math.log(other)][e]
                logits.append(experts[i, e, j] + offset)
            terms = terms - softmax(logits)[y].log()
        total.append(terms)
    return mean_of(total)


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.0])
def test_sade_is_its_formula(tau):
    experts = random(len(TARGETS), 3, 4)
    outputs = Outputs(experts.mean(dim=1), experts=experts)
    loss = create_loss("sade", COUNTS, tau=tau)
    agree(loss, outputs, lambda: sade(experts, tau, [4, 9, 30, 60]), [experts], TARGETS)


@pytest.mark.parametrize(
    ("counts", "reverse"), [([9, 60, 4, 30], [30, 4, 60, 9]), ([5, 5, 1], [5, 1, 5]), ([7, 7], [7, 7])]
)
def test_sades_third_expert_has_the_frequencies_in_reverse(counts, reverse):
    offset = SADE(tau=2.0).bind(counts).offset
    expected = [math.log(n / sum(counts)) - 2 * math.log(m / sum(counts)) for n, m in zip(counts, reverse, strict=True)]
    assert offset[2].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "settings"), [("ride", SETTINGS), ("sade", {"tau": 2.0})])
def test_what_is_not_the_experts_logits_is_refused(name, settings):
    loss, logits, targets = create_loss(name, COUNTS, **settings), torch.zeros(9, 4), torch.tensor(TARGETS)
    for outputs in (logits, Outputs(logits)):
        with pytest.raises(ValueError, match=rf"the loss {name} needs the logits of each expert.*found none; pass"):
            loss(outputs, targets)
    with pytest.raises(ValueError, match=re.escape(f"the loss {name} needs the logits of each expert, (B, E, C), but")):
        loss(Outputs(logits, experts=logits), targets)


@pytest.mark.parametrize("number", [2, 4])
def test_sade_refuses_more_or_fewer_than_three_experts(number):
    experts = torch.zeros(9, number, 4)
    message = f"the loss sade has one term for each of 3 experts, but the model has {number}; use a model with 3"
    with pytest.raises(ValueError, match=message):
        create_loss("sade", COUNTS, tau=2.0)(Outputs(experts.mean(dim=1), experts=experts), torch.tensor(TARGETS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spread": 1.5}, "spread must be at most 1, not 1.5"),
        ({"start": -1}, "start must be an epoch from 0 on, not -1"),
        ({"beta": 2.0}, r"beta must lie in \[0, 1\], not 2.0"),
        ({"diversity": -0.45}, "diversity must be finite and not below 0, not -0.45"),
    ],
)
def test_senseless_settings_of_ride_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RIDE(**SETTINGS | changes)
